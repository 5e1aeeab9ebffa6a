//! The control plane of xdplb.

pub mod health;
pub mod model;
