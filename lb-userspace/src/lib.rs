//! The control plane of xdplb.

pub mod model;
