//! The control plane of xdplb.

pub mod arena;
pub mod dataplane;
pub mod model;
pub mod plan;
pub mod ring;
pub mod sys;
