//! Groups: addresses that one node of a pair serves at a time.

use std::{net::IpAddr, time::Duration};

use lb_common::group::{ADDRESSES, GROUPS};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Addresses that move together from one node of a pair to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    pub name: String,
    /// Addresses of services.
    pub vips: Vec<IpAddr>,
    /// Source addresses of the connections to their backends.
    pub snat_addresses: Vec<IpAddr>,
}

impl Group {
    /// Maximum number of groups: number 0 is that of no group.
    pub const MOST: usize = GROUPS as usize - 1;

    /// Maximum number of addresses of all groups.
    pub const MOST_ADDRESSES: usize = ADDRESSES as usize;

    /// Error of an order about a group if there are none.
    pub const NONE: &str = "there are no groups: the configuration has no [[group]]";

    /// Returns the error of an order about a group that is not among those that there are.
    #[must_use]
    pub fn unknown(name: &str, known: &[impl AsRef<str>]) -> String {
        if known.is_empty() {
            return Self::NONE.to_owned();
        }
        let known: Vec<_> = known.iter().map(AsRef::as_ref).collect();
        format!("there is no group {name}, only {}", known.join(", "))
    }

    /// Returns all addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<'_> {
        self.vips.iter().chain(&self.snat_addresses).copied()
    }
}

/// Settings of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// Time for which a node stays active without its daemon.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

impl Default for Pair {
    fn default() -> Self {
        Self { lease: Duration::from_millis(800) }
    }
}

/// Role of this node for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It forwards the group's packets.
    Active,
    /// It was active, but its daemon did not extend the lease in time: it forwards nothing of the group until
    /// it is promoted again.
    Expired,
    /// It forwards nothing of the group, and answers no ARP request for its addresses.
    Standby,
}

impl Role {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Standby => "standby",
        }
    }
}

/// What an operator, or keepalived, makes this node for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoleOrder {
    Active,
    Standby,
}

/// A change of this node's role for a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    pub role: RoleOrder,
}
