//! State of the daemon.

use std::net::SocketAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{GroupView, InterfaceView};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub started: Timestamp,
    pub config: String,
    /// Where the status page and metrics are served (`api.http`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    pub interfaces: Vec<InterfaceView>,
    /// Groups of a pair's addresses, with this node's roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupView>,
    pub flows: FlowsView,
    pub services: usize,
    pub backends_up: usize,
    /// Number of backends that take new connections. Others may be up, but drained or without a
    /// next hop.
    #[serde(default)]
    pub backends_in_use: usize,
    pub backends_total: usize,
    pub warnings: Vec<String>,
    /// Time since the daemon's loop has published its state, which it does every second.
    #[serde(default)]
    pub state_age_seconds: f64,
    /// Reason why the last reload changed nothing. Absent after the daemon's own file has been
    /// loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_refused: Option<RefusedReload>,
    /// Absent if nothing is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_log: Option<ConnectionLogView>,
    /// Absent if nobody is notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<NotificationsView>,
}

/// Lines of the connection log since the daemon started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionLogView {
    /// File, or `log` for the daemon's own log.
    pub to: String,
    pub written: u64,
    /// Lines that were too many, or could not be written.
    pub left_out: u64,
}

/// Notifications since the daemon started, by what has become of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationsView {
    pub recipients: usize,
    pub delivered: u64,
    /// Given up after all attempts.
    pub failed: u64,
    /// Left out: too many waited.
    pub dropped: u64,
    pub queued: u64,
}

/// A reload of the daemon's own file that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RefusedReload {
    pub at: Timestamp,
    /// First error; see the daemon's log for all errors.
    pub reason: String,
}

/// Usage of the flow table, in connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowsView {
    pub capacity: u64,
    /// Memory of the table and its accounts in bytes, independent of the number of connections.
    pub bytes: u64,
    /// Usage of the table: connections in any state, plus one half for each port that is cooling
    /// down.
    pub entries: u64,
    /// Connections that are not closed: half-open, answered, established and closing ones.
    #[serde(default)]
    pub active: u64,
    /// Includes connections that a backend has refused.
    pub half_open: u64,
    /// Connections whose client has completed the handshake, and whose backend has sent nothing
    /// since.
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
    /// Source ports whose client has opened another connection before the closed one timed out.
    pub cooling_ports: u64,
}
