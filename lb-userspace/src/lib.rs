//! The control plane of xdplb.

pub mod bed;
pub mod health;
pub mod model;
mod netlink;
mod sys;
