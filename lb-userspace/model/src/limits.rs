//! Limits of the balancer.

use lb_common::limits;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Size of the flow table in connections.
    pub flows: u32,
    pub services: u32,
    /// Backends of all services, including removed ones that still have connections.
    pub backends: u32,
    /// Maximum number of resets that each CPU sends per second.
    pub resets: u32,
    /// Counts packets and bytes of each connection.
    pub accounting: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: limits::DEFAULT_FLOWS,
            services: limits::SERVICES,
            backends: limits::BACKENDS,
            resets: limits::RESETS,
            accounting: false,
        }
    }
}
