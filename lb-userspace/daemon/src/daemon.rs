//! State of the loop, in parts.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use lb_config::{Config, desired::Desired};
use lb_health::Checker;
use lb_model::views::RefusedReload;
use lb_notify::Notifier;

use super::{
    connection_log::ConnectionLog, flows::Flows, groups::Roles, kernel::Kernel, memory::Memory,
    network::Network, passive::Refusals, reader::Reader, requests::Waiting, snapshot::Published,
    state::State, tally::Tally,
};

pub(super) struct Daemon {
    pub(super) started: Timestamp,
    pub(super) own_file: OwnFile,
    pub(super) config: Arc<Config>,
    pub(super) kernel: Kernel,
    pub(super) network: Network,
    pub(super) desired: Desired,
    pub(super) memory: Memory,
    pub(super) state: State,
    pub(super) roles: Roles,
    pub(super) flows: Flows,
    pub(super) checking: Checking,
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    pub(super) notifier: Notifier,
    pub(super) connection_log: ConnectionLog,
    pub(super) published: Published,
    /// True if much memory may have been freed.
    pub(super) is_untidy: bool,
}

/// The daemon's own configuration file.
pub(super) struct OwnFile {
    pub(super) path: PathBuf,
    /// Error of its last reload.
    pub(super) refused: Option<RefusedReload>,
}

/// Health checks, and what the packets of backends say about their health.
pub(super) struct Checking {
    pub(super) checker: Checker,
    pub(super) refusals: Refusals,
}

/// Requests that wait.
pub(super) struct Queue {
    pub(super) reader: Reader,
    /// Changes to apply one after the other.
    pub(super) waiting: VecDeque<Waiting>,
}
