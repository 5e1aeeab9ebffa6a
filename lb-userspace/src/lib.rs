//! The control plane of xdplb.

pub mod bed;
pub mod demo;
pub mod health;
pub mod model;
pub mod neighbours;
mod netlink;
mod sys;
