//! Groups of a pair's addresses.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Role;

/// A group, and this node's role for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupView {
    pub name: String,
    pub role: Role,
    /// Number of times that this node was promoted for the group.
    pub epoch: u32,
    /// Milliseconds for which an active node would stay so without its daemon.
    pub lease_ms: u64,
    pub vips: Vec<IpAddr>,
    pub snat_addresses: Vec<IpAddr>,
}

/// Whether this node can be active for groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Readiness {
    pub ready: bool,
    /// Why it is not.
    pub reasons: Vec<String>,
}
