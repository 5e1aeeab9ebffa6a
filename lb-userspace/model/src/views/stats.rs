//! Counters.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Handshakes;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Time of the reading.
    pub at: Timestamp,
    pub packets: Vec<VerdictView>,
    pub services: Vec<ServiceStats>,
    pub port_clashes_total: u64,
    pub early_port_reuses_total: u64,
    /// Incidents by name.
    pub incidents: Vec<IncidentView>,
}

/// Number of events that do not decide the verdict of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentView {
    pub incident: String,
    pub total: u64,
}

/// Frames with the same verdict and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictView {
    pub verdict: String,
    pub reason: String,
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceStats {
    pub name: String,
    pub vip: SocketAddr,
    /// True if the service was removed, but still has connections.
    #[serde(default, skip_serializing_if = "is_false")]
    pub removed: bool,
    pub backends: Vec<BackendStats>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Traffic of a backend: "in" is from clients, "out" is to clients; bytes are IP bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendStats {
    pub address: SocketAddr,
    /// Number of active connections, only for a removed backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_left: Option<u64>,
    /// Connections that were opened.
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Connections that their clients have reset.
    #[serde(default)]
    pub resets_by_client: u64,
    /// Connections that the backend has reset or refused.
    #[serde(default)]
    pub resets_by_backend: u64,
    /// SYNs that clients sent again before the handshake had ended.
    #[serde(default)]
    pub retransmitted_syns: u64,
    #[serde(default)]
    pub handshakes: Handshakes,
}
