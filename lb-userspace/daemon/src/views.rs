//! Views of the state for clients of the API.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::Instant,
};

use lb_common::stats::{Incident, TcpStats, Traffic};
use lb_dataplane::{
    CounterReader, Incidents, flow_bytes,
    listing::{Directory, Listing},
};
use lb_health::LastCheck;
use lb_model::{
    Health, Refusal,
    secrets::HIDDEN,
    views::{
        BackendStats, BackendView, CheckView, ConnectionLogView, FlowsView, Handshakes,
        IncidentView, NotificationsView, ServiceStats, ServiceView, Stats, Status, VerdictView,
    },
};
use lb_notify::Tally as Notifications;

use super::{
    connection_log::Summary,
    control::{Running, Versioned},
    failover,
    refusals::failed,
    removed::Remains,
    service::{Backend, Service},
    snapshot::Snapshot,
    standing,
};

/// Views of a snapshot, with the counters as they are when a view is made.
#[derive(Clone, Copy)]
pub(super) struct Views<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) counters: &'a CounterReader,
}

impl Views<'_> {
    pub(super) fn status(&self) -> Status {
        let up = |backend: &&Backend| backend.health == Health::Up;
        let Snapshot { config, state, usage, .. } = self.snapshot;
        let states = usage.states;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.snapshot.started,
            config: self.snapshot.file.display().to_string(),
            http: config.api.http,
            interfaces: self.snapshot.interfaces.iter().map(Into::into).collect(),
            groups: self.snapshot.groups.views(),
            flows: FlowsView {
                capacity: config.limits.flows.into(),
                bytes: flow_bytes(&config.limits),
                entries: usage.entries.div_ceil(2),
                active: states.active(),
                half_open: states.half_open,
                answered: states.answered,
                established: states.established,
                closing: states.closing,
                closed: states.closed,
                cooling_ports: usage.cooling,
            },
            services: state.len(),
            backends_up: state.backends().filter(up).count(),
            backends_in_use: state.services().map(Service::in_use).sum(),
            backends_total: state.backends().count(),
            warnings: self.warnings(),
            state_age_seconds: self.snapshot.age().as_secs_f64(),
            reload_refused: self.snapshot.refused.clone(),
            connection_log: self.connection_log(),
            notifications: self.notifications(),
        }
    }

    fn connection_log(&self) -> Option<ConnectionLogView> {
        let to = self.snapshot.config.connection_log.as_ref()?.to.to_string();
        let Summary { written, left_out, .. } = self.snapshot.connection_log;
        Some(ConnectionLogView { to, written, left_out })
    }

    fn notifications(&self) -> Option<NotificationsView> {
        let recipients = self.snapshot.config.notify.len();
        let Notifications { delivered, failed, dropped, queued } = self.snapshot.notifications;
        let view = NotificationsView { recipients, delivered, failed, dropped, queued };
        (recipients > 0).then_some(view)
    }

    pub(super) fn listing(&self) -> Listing {
        let mut directory = Directory::new();
        for service in self.snapshot.state.services() {
            let name = &service.spec.name;
            let backends = service.backends.iter().chain(&service.leaving);
            directory.extend(backends.map(|b| (b.id, name.clone())));
        }
        self.remains().name(&mut directory);
        Listing::new(Arc::clone(&self.snapshot.table), directory)
    }

    /// Returns all services, without the origins of their settings.
    pub(super) fn services(&self) -> Result<Vec<ServiceView>, Refusal> {
        Ok(self.services_with(&self.traffic()?, &self.remains()))
    }

    /// As [`Self::services`], with this traffic of all backends.
    pub(super) fn services_with(
        &self,
        traffic: &BTreeMap<u32, Traffic>,
        remains: &Remains<'_>,
    ) -> Vec<ServiceView> {
        let services = self.snapshot.state.services();
        services.map(|service| self.view(service, traffic, remains)).collect()
    }

    /// Returns a service with the origins of its settings.
    pub(super) fn service(&self, name: &str) -> Result<ServiceView, Refusal> {
        let Snapshot { config, state, .. } = self.snapshot;
        let missing = || Refusal::NotFound(format!("there is no service {name}"));
        let service = state.service(name).ok_or_else(missing)?;
        let ids = service.backends.iter().flat_map(|backend| state.ids_of(service, backend));
        let traffic = self.counters.traffic(ids).map_err(failed)?;
        let mut view = self.view(service, &traffic, &self.remains());
        view.origins = config.origins(&service.spec);
        let origins = config.backend_origins(&service.spec);
        for (backend, origin) in view.backends.iter_mut().zip(origins) {
            backend.origin = Some(origin);
        }
        Ok(view)
    }

    pub(super) fn versioned<T>(&self, value: T) -> Versioned<T> {
        Versioned { version: self.snapshot.settled_version, value }
    }

    pub(super) fn running(&self) -> Running {
        let Snapshot { version, config, document, .. } = self.snapshot;
        Running { version: *version, config: config.settings(), document: document.clone() }
    }

    pub(super) fn stats(&self) -> Result<Stats, Refusal> {
        self.stats_with(&self.traffic()?, &self.remains())
    }

    /// As [`Self::stats`], with this traffic of all backends.
    pub(super) fn stats_with(
        &self,
        traffic: &BTreeMap<u32, Traffic>,
        remains: &Remains<'_>,
    ) -> Result<Stats, Refusal> {
        let incidents = self.counters.incidents().map_err(failed)?;
        let verdicts = self.counters.verdicts().map_err(failed)?;
        let packets = verdicts.into_iter().map(|(reason, count)| VerdictView {
            verdict: reason.verdict().as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            packets: count.packets,
            bytes: count.bytes,
        });
        let state = &self.snapshot.state;
        let services = state.services().map(|service| {
            let backends = service.backends.iter();
            let backends = backends.map(|one| {
                self.backend_stats(one.spec.address, state.ids_of(service, one), traffic)
            });
            let gone = self.removed_of(&service.spec.name, remains, traffic);
            ServiceStats {
                name: service.spec.name.clone(),
                vip: service.spec.vip.address,
                removed: false,
                backends: backends.chain(gone).collect(),
            }
        });
        let services = services.chain(self.removed_services(remains, traffic));
        Ok(Stats {
            at: jiff::Timestamp::now(),
            packets: packets.collect(),
            services: services.collect(),
            port_clashes_total: total(&incidents, Incident::PortClash),
            early_port_reuses_total: total(&incidents, Incident::EarlyPortReuse),
            incidents: incidents.into_iter().map(incident_view).collect(),
        })
    }

    /// Returns the counters of a backend that has, or had, these ids.
    pub(super) fn backend_stats(
        &self,
        address: SocketAddr,
        ids: impl Iterator<Item = u32>,
        traffic: &BTreeMap<u32, Traffic>,
    ) -> BackendStats {
        let ids: Vec<_> = ids.collect();
        let through = through(ids.iter().copied(), traffic);
        let tcp = self.tcp(&ids);
        BackendStats {
            address,
            removed_left: None,
            connections: through.connections,
            packets_in: through.inbound.packets,
            packets_out: through.outbound.packets,
            bytes_in: through.inbound.bytes,
            bytes_out: through.outbound.bytes,
            resets_by_client: tcp.resets_by_client,
            resets_by_backend: tcp.resets_by_backend,
            retransmitted_syns: tcp.retransmitted_syns,
            handshakes: Handshakes::of(&tcp),
        }
    }

    /// Returns how well connections to a backend with these ids go.
    fn tcp(&self, ids: &[u32]) -> TcpStats {
        let mut sum = TcpStats::default();
        for id in ids {
            sum += self.counters.tcp(*id);
        }
        sum
    }

    pub(super) fn traffic(&self) -> Result<BTreeMap<u32, Traffic>, Refusal> {
        let ids = self.snapshot.state.kernel.entries().keys().copied();
        self.counters.traffic(ids).map_err(failed)
    }

    fn view(
        &self,
        service: &Service,
        traffic: &BTreeMap<u32, Traffic>,
        remains: &Remains<'_>,
    ) -> ServiceView {
        let members: HashSet<_> = service.members().iter().map(|member| member.id).collect();
        let ignores_health = failover::fails_open(service);
        let backends = service.backends.iter().map(|backend| BackendView {
            in_ring: members.contains(&backend.id),
            ..self.backend_view(service, backend, ignores_health, traffic)
        });
        let mut backends: Vec<_> = backends.collect();
        for backend in backends.iter_mut().filter(|backend| !backend.in_ring) {
            (backend.effective_weight, backend.slow_start) = (0.0, None);
        }
        let mut policy = service.spec.policy.effective();
        if let Some(send) = &mut policy.health.request.send {
            HIDDEN.clone_into(send);
        }
        ServiceView {
            name: service.spec.name.clone(),
            vip: service.spec.vip.address,
            protocol: service.spec.vip.protocol,
            policy,
            origins: BTreeMap::new(),
            warnings: self.warnings_of(service, remains),
            steps: Vec::new(),
            backends,
        }
    }

    /// Returns a backend as if it took new connections.
    fn backend_view(
        &self,
        service: &Service,
        backend: &Backend,
        ignores_health: bool,
        traffic: &BTreeMap<u32, Traffic>,
    ) -> BackendView {
        let now = Instant::now();
        let Snapshot { state, refusing, results, .. } = self.snapshot;
        let through = through(state.ids_of(service, backend), traffic);
        let refusing = refusing.contains(&backend.id);
        let unusable = standing::unusable(backend, ignores_health, now)
            .or_else(|| refusing.then(|| "refuses connections, skipped".to_owned()));
        let last = results.last(&service.spec.name, backend.spec.address);
        let share = failover::share(service, backend, now);
        BackendView {
            address: backend.spec.address,
            weight: backend.spec.weight,
            backup: backend.spec.backup,
            origin: None,
            admin: backend.spec.admin,
            drain_until: backend.spec.drain_until,
            health: backend.health,
            since: backend.since,
            detail: last.as_ref().map_or(&backend.detail, |last| &last.detail).clone(),
            last_check: last.map(check_view),
            unusable,
            in_ring: true,
            effective_weight: f64::from(backend.spec.weight) * f64::from(share) / 100.0,
            slow_start: (share < 100).then_some(share),
            refusing,
            active_connections: self.active(state.ids_of(service, backend)),
            connections_total: through.connections,
            packets_total: through.inbound.packets + through.outbound.packets,
            bytes_total: through.inbound.bytes + through.outbound.bytes,
        }
    }
}

fn check_view(last: LastCheck) -> CheckView {
    let LastCheck { at, success, result, contrary, needed, .. } = last;
    CheckView { at, success, result, contrary, needed }
}

fn total(incidents: &Incidents, wanted: Incident) -> u64 {
    incidents.iter().find(|(incident, _)| *incident == wanted).map_or(0, |(_, total)| *total)
}

fn incident_view((incident, total): (Incident, u64)) -> IncidentView {
    IncidentView { incident: incident.as_str().to_owned(), total }
}

/// Returns the traffic of a backend under all these ids.
fn through(ids: impl Iterator<Item = u32>, traffic: &BTreeMap<u32, Traffic>) -> Traffic {
    let mut sum = Traffic::default();
    ids.filter_map(|id| traffic.get(&id)).for_each(|of_id| sum += *of_id);
    sum
}
