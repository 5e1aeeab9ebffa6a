//! The control plane of xdplb.

pub mod adoption;
pub mod api;
pub mod arena;
pub mod cli;
pub mod config;
pub mod connections;
pub mod control;
mod counters;
pub mod daemon;
pub mod dataplane;
mod demo;
pub mod desired;
pub mod health;
pub mod model;
pub mod neighbours;
pub mod patterns;
pub mod plan;
pub mod ring;
mod secrets;

/// Default socket of the daemon.
pub const DEFAULT_SOCKET: &str = "/run/xdplb/xdplb.sock";
