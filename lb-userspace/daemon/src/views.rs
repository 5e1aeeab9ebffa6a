//! Views of the state for clients of the API.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    time::Instant,
};

use lb_common::{
    stats::{Incident, Traffic},
    table::table_bytes,
};
use lb_dataplane::{
    Incidents,
    listing::{Directory, Listing},
    ring::Need,
};
use lb_health::LastCheck;
use lb_model::{
    Health, Refusal,
    secrets::HIDDEN,
    views::{
        BackendStats, BackendView, CheckView, FlowsView, IncidentView, RefusedReload, ServiceStats,
        ServiceView, Stats, Status, VerdictView,
    },
};

use super::{
    daemon::Daemon,
    failover,
    refusals::failed,
    removed::Remains,
    service::{Backend, Service},
    standing,
    state::State,
};
use crate::control::Running;

impl Daemon {
    /// Returns a warning if the services exceed a limit once all backends are up.
    pub(super) fn excess(&self) -> Option<String> {
        let excess = self.state.need().excess(Need::default(), &self.config.limits)?;
        Some(format!("{excess}; some services may stay behind"))
    }

    pub(super) fn status(&self) -> Status {
        let up = |backend: &&Backend| backend.health == Health::Up;
        let states = self.flows.counts.states;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            config: self.own_file.path.display().to_string(),
            interfaces: self.network.interfaces.iter().map(Into::into).collect(),
            flows: FlowsView {
                capacity: self.config.limits.flows.into(),
                bytes: table_bytes(self.config.limits.flows),
                entries: self.flows.counts.entries.div_ceil(2),
                half_open: states.half_open,
                answered: states.answered,
                established: states.established,
                closing: states.closing,
                closed: states.closed,
                cooling_ports: self.flows.counts.cooling,
            },
            services: self.state.len(),
            backends_up: self.state.backends().filter(up).count(),
            backends_in_use: self.state.services().map(Service::in_use).sum(),
            backends_total: self.state.backends().count(),
            warnings: self.warnings(),
            reload_refused: self.own_file.refused.clone(),
        }
    }

    pub(super) fn listing(&self) -> Listing {
        let mut directory = Directory::new();
        for service in self.state.services() {
            let name = &service.spec.name;
            let backends = service.backends.iter().chain(&service.leaving);
            directory.extend(backends.map(|b| (b.id, name.clone())));
        }
        self.remains().name(&mut directory);
        Listing::new(self.kernel.dataplane.flows(), directory)
    }

    /// Returns all services, without the origins of their settings.
    pub(super) fn service_views(&self) -> Result<Vec<ServiceView>, Refusal> {
        let (traffic, remains) = (self.traffic()?, self.remains());
        let state = &self.state;
        let views = state.services().map(|service| self.view(state, service, &traffic, &remains));
        Ok(views.collect())
    }

    /// Returns a service of a state with the origins of its settings.
    pub(super) fn service_view(
        &self,
        state: &State,
        service: &Service,
    ) -> Result<ServiceView, Refusal> {
        let ids = service.backends.iter().flat_map(|backend| state.ids_of(service, backend));
        let traffic = self.kernel.dataplane.traffic(ids).map_err(failed)?;
        let mut view = self.view(state, service, &traffic, &self.remains());
        view.origins = self.config.origins(&service.spec);
        let origins = self.config.backend_origins(&service.spec);
        for (backend, origin) in view.backends.iter_mut().zip(origins) {
            backend.origin = Some(origin);
        }
        Ok(view)
    }

    pub(super) fn service_named(&self, name: &str) -> Result<ServiceView, Refusal> {
        let missing = || Refusal::NotFound(format!("there is no service {name}"));
        self.service_view(&self.state, self.state.service(name).ok_or_else(missing)?)
    }

    pub(super) fn running(&self) -> Running {
        let document = self.document().clone();
        Running { version: self.desired.number(), config: self.config.settings(), document }
    }

    pub(super) fn stats(&self) -> Result<Stats, Refusal> {
        let traffic = self.traffic()?;
        let incidents = self.kernel.dataplane.incidents().map_err(failed)?;
        let verdicts = self.kernel.dataplane.verdicts().map_err(failed)?;
        let packets = verdicts.into_iter().map(|(reason, count)| VerdictView {
            verdict: reason.verdict().as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            packets: count.packets,
            bytes: count.bytes,
        });
        let remains = self.remains();
        let services = self.state.services().map(|service| {
            let backends = service.backends.iter();
            let backends = backends.map(|one| {
                backend_stats(one.spec.address, self.state.ids_of(service, one), &traffic)
            });
            let gone = self.removed_of(&service.spec.name, &remains, &traffic);
            ServiceStats {
                name: service.spec.name.clone(),
                vip: service.spec.vip.address,
                removed: false,
                backends: backends.chain(gone).collect(),
            }
        });
        let services = services.chain(self.removed_services(&remains, &traffic));
        Ok(Stats {
            at: jiff::Timestamp::now(),
            packets: packets.collect(),
            services: services.collect(),
            port_clashes_total: total(&incidents, Incident::PortClash),
            early_port_reuses_total: total(&incidents, Incident::EarlyPortReuse),
            incidents: incidents.into_iter().map(incident_view).collect(),
        })
    }

    fn traffic(&self) -> Result<BTreeMap<u32, Traffic>, Refusal> {
        let ids = self.state.kernel.entries().keys().copied();
        self.kernel.dataplane.traffic(ids).map_err(failed)
    }

    fn view(
        &self,
        state: &State,
        service: &Service,
        traffic: &BTreeMap<u32, Traffic>,
        remains: &Remains<'_>,
    ) -> ServiceView {
        let members: HashSet<_> = service.members().iter().map(|member| member.id).collect();
        let ignores_health = failover::fails_open(service);
        let backends = service.backends.iter().map(|backend| BackendView {
            in_ring: members.contains(&backend.id),
            ..self.backend_view(state, service, backend, ignores_health, traffic)
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
        state: &State,
        service: &Service,
        backend: &Backend,
        ignores_health: bool,
        traffic: &BTreeMap<u32, Traffic>,
    ) -> BackendView {
        let now = Instant::now();
        let through = through(state.ids_of(service, backend), traffic);
        let refusing = self.checking.refusals.contains(backend.id);
        let unusable = standing::unusable(backend, ignores_health, now)
            .or_else(|| refusing.then(|| "refuses connections, skipped".to_owned()));
        let last = self.checking.checker.last(&service.spec.name, backend.spec.address);
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

    fn warnings_of(&self, service: &Service, remains: &Remains<'_>) -> Vec<String> {
        let mut warnings = standing::warnings(service);
        warnings.extend(self.removed_backends(&service.spec.name, remains));
        warnings
    }

    /// Returns all warnings for the operator.
    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> = self
            .network
            .interfaces
            .iter()
            .filter_map(super::interfaces::Interface::warning)
            .collect();
        warnings.extend(self.kernel.sync.warning());
        warnings.extend(self.excess());
        warnings.extend(self.kernel.fleeting(&self.config.bpffs));
        warnings.extend(self.own_file.refused.as_ref().map(refused_reload));
        warnings.extend(self.network.missing_sources(&self.config.snat_addresses));
        warnings.extend(self.network.port_clash.clone());
        warnings.extend(self.desired.warnings());
        let remains = self.remains();
        warnings.extend(self.removed_warnings(&remains));
        warnings.extend(self.vip_warnings());
        warnings.extend(self.own_check_warnings());
        for service in self.state.services() {
            let name = &service.spec.name;
            for backend in &service.backends {
                if let Err(reason) = &backend.next_hop {
                    warnings.push(format!("{name}: {}: {reason}", backend.spec.address));
                }
            }
            let mut taking = None;
            let refusing = service
                .backends
                .iter()
                .filter(|backend| self.checking.refusals.contains(backend.id));
            for backend in refusing {
                warnings.push(format!(
                    "{name}: {} refuses connections and is skipped: {}",
                    backend.spec.address,
                    taking.get_or_insert_with(|| self.taking_of(service))
                ));
            }
            let of_service = self.warnings_of(service, &remains);
            warnings.extend(of_service.into_iter().map(|one| format!("{name}: {one}")));
        }
        let capacity = u64::from(self.config.limits.flows) * 2;
        if self.flows.counts.entries > capacity / 10 * 9 {
            warnings.push("the flow table is more than 90 % full: raise limits.flows".to_owned());
        }
        warnings
    }
}

fn check_view(last: LastCheck) -> CheckView {
    let LastCheck { at, success, result, contrary, needed, .. } = last;
    CheckView { at, success, result, contrary, needed }
}

fn refused_reload(RefusedReload { at, reason }: &RefusedReload) -> String {
    let at = at.strftime("%F %T UTC");
    format!(
        "the reload at {at} was refused and changed nothing (see the log for all errors): {reason}"
    )
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

/// Returns the counters of a backend that has, or had, these ids.
pub(super) fn backend_stats(
    address: SocketAddr,
    ids: impl Iterator<Item = u32>,
    traffic: &BTreeMap<u32, Traffic>,
) -> BackendStats {
    let through = through(ids, traffic);
    BackendStats {
        address,
        removed_left: None,
        connections: through.connections,
        packets_in: through.inbound.packets,
        packets_out: through.outbound.packets,
        bytes_in: through.inbound.bytes,
        bytes_out: through.outbound.bytes,
    }
}
