//! The control plane of xdplb.

mod accounts;
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
mod listeners;
pub mod local_ports;
pub mod model;
pub mod neighbours;
mod netlink;
pub mod patterns;
pub mod plan;
mod printable;
mod private;
pub mod ring;
mod secrets;
mod sys;
pub mod testbed;

/// Where the daemon listens if nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/xdplb/xdplb.sock";
