//! Everything that metrics and pages show, from one snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use lb_common::stats::Traffic;
use lb_config::desired::JournalSize;
use lb_dataplane::Runs;
use lb_health::Tally as Checks;
use lb_model::{
    Refusal, Role, XdpMode,
    views::{GroupView, InterfaceMode, LinkState, ServiceStats, ServiceView, Stats, Status},
};

use lb_notify::Tally as Notifications;

use super::{
    connection_log::Summary, interfaces::Interface, snapshot::Snapshot, tally::Tally, views::Views,
};

#[cfg(test)]
pub(crate) mod example;

/// Time after which the loop counts as stuck: it publishes a snapshot every second.
const STUCK: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Overview {
    pub(super) status: Status,
    pub(super) version: u64,
    pub(super) services: Vec<OfService>,
    pub(super) stats: Stats,
    pub(super) tally: Tally,
    pub(super) journal: JournalSize,
    pub(super) runs: Runs,
    pub(super) notifications: Notifications,
    pub(super) connection_log: Summary,
    pub(super) xdp_mode: XdpMode,
    /// Age of the snapshot.
    pub(super) age: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct OfService {
    pub(super) view: ServiceView,
    /// Addresses of the backends as text, which many metrics have as a label.
    pub(super) addresses: Vec<String>,
    pub(super) stats: ServiceStats,
    /// Traffic of all backends that it has had.
    pub(super) total: Traffic,
    pub(super) checks: Checks,
    /// Number of source addresses and ports that each backend has for its connections.
    pub(super) source_ports: Vec<u64>,
}

/// Whether the daemon and what it controls work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitness {
    /// Reason why the loop counts as stuck.
    pub stuck: Option<String>,
    /// Reasons why connections may not be forwarded.
    pub unready: Vec<String>,
}

impl Views<'_> {
    pub(super) fn overview(&self) -> Result<Overview, Refusal> {
        let Snapshot { config, state, results, version, tally, journal, runs, .. } = self.snapshot;
        let (traffic, remains) = (self.traffic()?, self.remains());
        let totals = self.totals(&traffic);
        let mut stats = self.stats_with(&traffic, &remains)?;
        let (present, removed) = stats.services.drain(..).partition(|one| !one.removed);
        stats.services = removed;
        let services =
            self.services_with(&traffic, &remains).into_iter().zip(present).zip(state.services());
        let services = services.map(|((view, stats), service)| OfService {
            checks: results.tally(&view.name),
            addresses: view.backends.iter().map(|one| one.address.to_string()).collect(),
            total: totals.get(&service.id).copied().unwrap_or_default(),
            source_ports: service
                .backends
                .iter()
                .map(|one| state.kernel.source_ports(one.id))
                .collect(),
            view,
            stats,
        });
        let services = services.collect();
        Ok(Overview {
            status: self.status(),
            version: *version,
            services,
            stats,
            tally: *tally,
            journal: *journal,
            runs: *runs,
            notifications: self.snapshot.notifications,
            connection_log: self.snapshot.connection_log.clone(),
            xdp_mode: config.xdp_mode,
            age: self.snapshot.age(),
        })
    }

    /// Returns the traffic of each service, by its id: that of removed backends stays, as a counter must not
    /// go back.
    fn totals(&self, traffic: &BTreeMap<u32, Traffic>) -> HashMap<u32, Traffic> {
        let state = &self.snapshot.state;
        let kept = state.services().map(|one| (one.id, self.counters.kept_traffic(one.id)));
        let mut totals: HashMap<_, _> = kept.collect();
        for (id, traffic) in traffic {
            let backend = state.kernel.entries().get(id);
            if let Some(total) = backend.and_then(|one| totals.get_mut(&one.service)) {
                *total += *traffic;
            }
        }
        totals
    }
}

impl Snapshot {
    pub(super) fn fitness(&self) -> Fitness {
        let Self { config, state, interfaces, behind, .. } = self;
        let faults = interfaces.iter().filter_map(|one| fault(one, config.xdp_mode));
        let mut unready: Vec<_> = faults.chain(behind.clone()).collect();
        if interfaces.iter().all(|one| one.link != LinkState::Up) {
            unready.push("no interface is up".to_owned());
        }
        if state.len() > 0 && state.services().all(|service| service.in_use() == 0) {
            unready.push("no service has a backend that takes connections".to_owned());
        }
        Fitness { stuck: stuck(self.age()), unready }
    }

    /// Returns why this node should not be active for groups, while this many services must be able to serve.
    pub(super) fn unready(&self, needed: usize) -> Vec<String> {
        let Fitness { stuck, unready } = self.fitness();
        let mut reasons: Vec<_> = stuck.into_iter().chain(unready).collect();
        let down = self.interfaces.iter().filter(|one| one.link != LinkState::Up);
        reasons.extend(down.map(|one| format!("{}: the link is not up", one.name)));
        let expired = self.groups.views().into_iter().filter(|one| one.role == Role::Expired);
        reasons.extend(expired.map(|GroupView { name, .. }| {
            format!("group {name}: the lease has run out: demote or promote this node first")
        }));
        let able = self.state.services().filter(|service| service.in_use() > 0).count();
        if able < needed {
            let of = self.state.len();
            reasons.push(format!("{able} of {of} services can serve: {needed} must"));
        }
        reasons
    }
}

/// Returns the reason why the loop counts as stuck, by the age of what it has published last.
fn stuck(age: Duration) -> Option<String> {
    (age > STUCK).then(|| format!("the daemon's loop is stuck: nothing for {age:.0?}"))
}

/// Returns the reason why the program is not attached to an interface as configured.
fn fault(interface: &Interface, wanted: XdpMode) -> Option<String> {
    let is_as_wanted = match interface.mode {
        InterfaceMode::Native => true,
        InterfaceMode::Generic => wanted != XdpMode::Native,
        InterfaceMode::Detached => false,
    };
    if is_as_wanted {
        return None;
    }
    interface.warning().or_else(|| Some(format!("{} is not ready", interface.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_publishes_nothing_is_stuck() {
        assert_eq!(stuck(Duration::from_secs(9)), None);
        let said = stuck(Duration::from_secs(11)).expect("stuck");
        assert_eq!(said, "the daemon's loop is stuck: nothing for 11s");
    }

    #[test]
    fn a_program_must_be_attached_in_a_mode_that_is_wanted() {
        let of = |mode, wanted| fault(&Interface::of_mode(mode), wanted);
        assert_eq!(of(InterfaceMode::Native, XdpMode::Auto), None);
        assert_eq!(of(InterfaceMode::Generic, XdpMode::Auto), None);
        let generic = of(InterfaceMode::Generic, XdpMode::Native).expect("a fault");
        assert_eq!(generic, "eth0 runs in generic mode, which is slow");
        let detached = of(InterfaceMode::Detached, XdpMode::Auto).expect("a fault");
        assert_eq!(detached, "eth0 has no program attached");
    }
}
