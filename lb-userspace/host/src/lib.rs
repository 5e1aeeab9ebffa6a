//! The host as xdplb sees it.

pub mod accounts;
pub mod arp;
pub mod listeners;
pub mod local_ports;
pub mod netlink;
pub mod ownership;
pub mod printable;
pub mod private;
pub mod sys;
