//! Services.

use std::{collections::HashMap, fmt, net::SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backend, Failover, HealthCheck, Scheduler, Timeouts, Turns};

/// Transport protocol of a service.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
}

/// Address, port and protocol that clients connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vip {
    pub address: SocketAddr,
    pub protocol: Protocol,
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Forwarding method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Full NAT: source and destination are rewritten, and replies come back through the balancer.
    #[default]
    Nat,
}

/// Settings of a service that have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub mode: Mode,
    pub scheduler: Scheduler,
    /// Journals of earlier versions do not have it.
    #[serde(default)]
    pub turns: Turns,
    pub health: HealthCheck,
    pub timeouts: Timeouts,
    #[serde(flatten)]
    pub failover: Failover,
}

impl Policy {
    /// Fills in the defaults.
    #[must_use]
    pub fn effective(&self) -> Self {
        Self { health: self.health.effective(), ..self.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub vip: Vip,
    #[serde(flatten)]
    pub policy: Policy,
    /// In configured order.
    pub backends: Vec<Backend>,
}

impl Service {
    #[must_use]
    pub fn backend(&self, address: SocketAddr) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.address == address)
    }

    /// Removes values of the check that equal the defaults, which older versions stored.
    pub fn normalize(&mut self) {
        let request = &mut self.policy.health.request;
        *request = std::mem::take(request).normalized();
    }

    /// Copies the administrative state of backends from the other service.
    pub fn keep_orders_of(&mut self, other: &Self) {
        let known: HashMap<_, _> = other.backends.iter().map(|one| (one.address, one)).collect();
        for backend in &mut self.backends {
            if let Some(known) = known.get(&backend.address) {
                (backend.admin, backend.drain_until) = (known.admin, known.drain_until);
            }
        }
    }
}
