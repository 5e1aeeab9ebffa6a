//! The daemon's state at a moment, for threads other than the loop's.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lb_config::{
    Config,
    desired::{Document, JournalSize, Losses},
};
use lb_dataplane::{FlowTable, Runs, States};
use lb_health::Results;
use lb_model::{Refusal, views::RefusedReload};
use lb_notify::Tally as Notifications;
use tokio::sync::watch;

use super::{
    connection_log::Summary, control::Reply, daemon::Daemon, groups::LeasedGroups,
    interfaces::Interface, state::State, tally::Tally,
};

/// The present snapshot. None until the daemon has started.
pub(super) type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// Taking one costs the same however many services there are: it shares all of them with the loop.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) started: Timestamp,
    pub(super) config: Arc<Config>,
    /// The daemon's own configuration file.
    pub(super) file: PathBuf,
    /// Error of its last reload.
    pub(super) refused: Option<RefusedReload>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) groups: LeasedGroups,
    pub(super) table: Arc<FlowTable>,
    pub(super) usage: Usage,
    pub(super) state: State,
    pub(super) document: Document,
    /// Number of the document's version.
    pub(super) version: u64,
    /// None while that is not recorded.
    pub(super) settled_version: Option<u64>,
    pub(super) losses: Losses,
    pub(super) journal: JournalSize,
    pub(super) results: Results,
    /// Ids of backends that refuse connections.
    pub(super) refusing: BTreeSet<u32>,
    /// VIPs that receive no packets.
    pub(super) unrouted: Arc<BTreeSet<IpAddr>>,
    /// Reason why the kernel's maps are out of date, if they are.
    pub(super) behind: Option<String>,
    /// Warnings about the host.
    pub(super) warnings: Vec<String>,
    pub(super) tally: Tally,
    pub(super) notifications: Notifications,
    pub(super) connection_log: Summary,
    /// Generation of the kernel's maps.
    pub(super) generation: u64,
    /// Number of instructions of the usual program.
    pub(super) instructions: u32,
    pub(super) runs: Runs,
    pub(super) at: Instant,
}

/// Usage of the flow table, as the last sweep has found it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Entries of the table, two per connection.
    pub(super) entries: u64,
    pub(super) cooling: u64,
    pub(super) states: States,
}

impl Snapshot {
    /// Returns the name of one of the balancer's interfaces.
    pub(super) fn interface_name(&self, ifindex: u32) -> String {
        let found = self.interfaces.iter().find(|one| one.ifindex == ifindex);
        found.map_or_else(|| format!("interface {ifindex}"), |one| one.name.clone())
    }

    /// Returns the time since it was taken.
    pub(super) fn age(&self) -> Duration {
        Instant::now().saturating_duration_since(self.at)
    }
}

/// Where the present snapshot is published. None until the daemon has started.
pub(super) type Published = watch::Sender<Option<Arc<Snapshot>>>;

impl Daemon {
    pub(super) fn snapshot(&self) -> Snapshot {
        let counts = &self.flows.counts;
        Snapshot {
            started: self.started,
            config: Arc::clone(&self.config),
            file: self.own_file.path.clone(),
            refused: self.own_file.refused.clone(),
            interfaces: self.network.interfaces.clone(),
            groups: self.roles.groups(),
            table: self.kernel.dataplane.flows(),
            usage: Usage {
                entries: counts.entries,
                cooling: counts.cooling,
                states: counts.states,
            },
            state: self.state.clone(),
            // There is none while the daemon starts.
            document: self.desired.document().cloned().unwrap_or_default(),
            version: self.desired.number(),
            settled_version: self.desired.settled_number(),
            losses: self.desired.losses(),
            journal: self.desired.journal_size(),
            results: self.checking.checker.results(),
            refusing: self.checking.refusals.ids(),
            unrouted: self.network.unrouted.addresses(),
            behind: self.kernel.sync.warning(),
            warnings: self.host_warnings(&self.config.bpffs),
            tally: self.tally,
            notifications: self.notifier.tally(),
            connection_log: self.connection_log.summary(),
            generation: self.kernel.counters.generation(),
            instructions: self.kernel.instructions,
            runs: self.kernel.runs,
            at: Instant::now(),
        }
    }

    /// Makes the present state visible to other threads.
    pub(super) fn publish(&self) {
        self.published.send_replace(Some(Arc::new(self.snapshot())));
    }

    /// Answers a request whose effects must be visible to whoever gets the answer.
    pub(super) fn tell<T>(&self, reply: Reply<T>, answer: Result<T, Refusal>) {
        self.publish();
        // The client may have disconnected.
        drop(reply.send(answer));
    }

    fn host_warnings(&self, bpffs: &Path) -> Vec<String> {
        let mut warnings: Vec<_> = self.kernel.fleeting(bpffs).into_iter().collect();
        warnings.extend(self.network.missing_sources(&self.config.snat_addresses));
        warnings.extend(self.network.port_clash.clone());
        warnings.extend(self.group_warnings());
        warnings
    }
}
