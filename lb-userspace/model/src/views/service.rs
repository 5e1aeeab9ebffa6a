//! Services and backends as they are.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Origin, Step};
use crate::{Admin, Health, Policy, Protocol};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    pub name: String,
    pub vip: SocketAddr,
    pub protocol: Protocol,
    /// All settings with their effective values, by the keys of a change. Those without a value are
    /// omitted.
    #[serde(flatten)]
    #[schemars(skip)]
    pub policy: Policy,
    /// Origin of each setting, by its key, dotted as in the file. Only present in a request for
    /// this service.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, Origin>,
    /// Current problems of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Changes made by the request, or that a dry run would make. Only in answers to changes; empty
    /// if nothing changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// In configured order.
    pub backends: Vec<BackendView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendView {
    pub address: SocketAddr,
    pub weight: u16,
    pub backup: bool,
    /// Only present in a request for this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    pub admin: Admin,
    /// End of draining. From then on the next packet of either side of a remaining connection is
    /// answered by a reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_until: Option<Timestamp>,
    pub health: Health,
    /// Time of the last change of health.
    pub since: Timestamp,
    /// Result of the last check, or the reason why packets cannot reach the backend.
    pub detail: String,
    /// Absent while the backend is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<CheckView>,
    /// Reason why the backend cannot take new connections; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// True if the backend currently takes new connections. A usable backup that takes none is on
    /// standby.
    pub in_ring: bool,
    /// Current weight: reduced during a slow start, 0 while the backend takes no new connections.
    #[serde(default)]
    pub effective_weight: f64,
    /// Share of its weight during a slow start, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<u8>,
    /// True if the backend refused its last connections and is skipped until a check or a
    /// connection succeeds.
    #[serde(default)]
    pub refusing: bool,
    /// Number of connections that are not closed.
    pub active_connections: u64,
    /// Number of connections that were opened.
    pub connections_total: u64,
    /// IP packets and bytes in both directions.
    pub packets_total: u64,
    pub bytes_total: u64,
}

/// The last check of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckView {
    /// Time when the check ended.
    pub at: Timestamp,
    /// Absent if the check could not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    pub result: String,
    /// Number of consecutive results that contradict the health.
    pub contrary: u32,
    /// Number of such results that change the health.
    pub needed: u32,
}
