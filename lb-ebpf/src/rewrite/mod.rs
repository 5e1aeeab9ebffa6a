//! Forwarding modes: one file each.

pub(crate) mod nat;
pub(crate) mod reset;
