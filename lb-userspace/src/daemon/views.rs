//! The state as clients of the API see it.

use std::collections::{BTreeMap, HashSet};

use lb_common::{
    stats::{Incident, Traffic},
    table::table_bytes,
};

use super::{
    Daemon,
    service::{Backend, Service},
};
use crate::{
    connections::{Directory, Listing},
    control::{
        BackendStats, BackendView, FlowsView, IncidentView, Refusal, RefusedReload, ServiceStats,
        ServiceView, Stats, Status, VerdictView,
    },
    dataplane::Incidents,
    model::Health,
};

impl Daemon {
    pub(super) fn status(&self) -> Status {
        let up = |backend: &&Backend| backend.health == Health::Up;
        let states = self.census.states;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            config: self.file.display().to_string(),
            interfaces: self.interfaces.iter().map(Into::into).collect(),
            flows: FlowsView {
                capacity: self.config.limits.flows.into(),
                bytes: table_bytes(self.config.limits.flows),
                entries: self.census.entries.div_ceil(2),
                half_open: states.half_open,
                answered: states.answered,
                established: states.established,
                closing: states.closing,
                closed: states.closed,
                resting_ports: self.census.resting,
            },
            services: self.state.len(),
            backends_up: self.state.backends().filter(up).count(),
            backends_total: self.state.backends().count(),
            warnings: self.warnings(),
            reload_refused: self.reload_refused.clone(),
        }
    }

    pub(super) fn listing(&self) -> Listing {
        let mut directory = Directory::new();
        for service in self.state.services() {
            let name = &service.spec.name;
            let backends = service.backends.iter().chain(&service.leaving);
            directory.extend(backends.map(|b| (b.id, name.clone())));
        }
        Listing::new(self.dataplane.flows(), directory)
    }

    pub(super) fn service_views(&self) -> Result<Vec<ServiceView>, Refusal> {
        let traffic = self.traffic()?;
        Ok(self.state.services().map(|service| self.view(service, &traffic)).collect())
    }

    pub(super) fn service_view(&self, service: &Service) -> Result<ServiceView, Refusal> {
        let ids = service.backends.iter().map(|backend| backend.id);
        let traffic = self.dataplane.traffic(ids).map_err(failed)?;
        Ok(self.view(service, &traffic))
    }

    pub(super) fn stats(&self) -> Result<Stats, Refusal> {
        let traffic = self.traffic()?;
        let incidents = self.dataplane.incidents().map_err(failed)?;
        let verdicts = self.dataplane.verdicts().map_err(failed)?;
        let packets = verdicts.into_iter().map(|(reason, count)| VerdictView {
            verdict: reason.verdict().as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            packets: count.packets,
            bytes: count.bytes,
        });
        let services = self.state.services().map(|service| ServiceStats {
            name: service.spec.name.clone(),
            vip: service.spec.vip.address,
            backends: service.backends.iter().map(|b| backend_stats(b, &traffic)).collect(),
        });
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
        self.dataplane.traffic(self.state.backends().map(|b| b.id)).map_err(failed)
    }

    fn view(&self, service: &Service, traffic: &BTreeMap<u32, Traffic>) -> ServiceView {
        let members: HashSet<_> = service.members().iter().map(|member| member.id).collect();
        let backends = service.backends.iter().map(|backend| {
            let through = traffic.get(&backend.id).copied().unwrap_or_default();
            BackendView {
                address: backend.spec.address,
                weight: backend.spec.weight,
                backup: backend.spec.backup,
                admin: backend.spec.admin,
                drain_until: backend.spec.drain_until,
                health: backend.health,
                since: backend.since,
                detail: self.told(backend),
                in_ring: members.contains(&backend.id),
                refusing: self.refusals.contains(backend.id),
                active_connections: self.dataplane.active(backend.id),
                connections_total: through.connections,
                packets_total: through.inbound.packets + through.outbound.packets,
                bytes_total: through.inbound.bytes + through.outbound.bytes,
            }
        });
        ServiceView {
            name: service.spec.name.clone(),
            vip: service.spec.vip.address,
            protocol: service.spec.vip.protocol,
            mode: service.spec.policy.mode,
            scheduler: service.spec.policy.scheduler,
            backends: backends.collect(),
        }
    }

    fn told(&self, backend: &Backend) -> String {
        let told = backend.told();
        if self.refusals.contains(backend.id) {
            return format!("refuses connections, passed over; {told}");
        }
        told
    }

    /// All that an operator should know and that no command has asked for.
    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<_> =
            self.interfaces.iter().filter_map(super::interfaces::Interface::warning).collect();
        warnings.extend(self.fleeting());
        warnings.extend(self.reload_refused.as_ref().map(refused_reload));
        warnings.extend(self.missing_sources());
        warnings.extend(self.port_clash.clone());
        warnings.extend(self.desired.warnings());
        for service in self.state.services() {
            let name = &service.spec.name;
            for backend in &service.backends {
                if let Err(reason) = &backend.next_hop {
                    warnings.push(format!("{name}: {}: {reason}", backend.spec.address));
                }
            }
            let refusing =
                service.backends.iter().filter(|backend| self.refusals.contains(backend.id));
            for backend in refusing {
                warnings.push(format!(
                    "{name}: {} refuses connections and is passed over: {}",
                    backend.spec.address,
                    self.taking_of(service)
                ));
            }
            warnings.extend(unchecked(service));
            if super::failover::fails_open(service) {
                warnings.push(format!(
                    "{name}: so many backends are down that the check is not believed: all are used"
                ));
            }
            if !service.leaving.is_empty() {
                warnings.push(format!(
                    "{name}: backends that were removed take connections until another one is up"
                ));
            }
            if service.members().is_empty() {
                warnings.push(format!("{name}: no backend takes connections: clients are reset"));
            }
        }
        let capacity = u64::from(self.config.limits.flows) * 2;
        if self.census.entries > capacity / 10 * 9 {
            warnings.push("the flow table is more than 90 % full: raise limits.flows".to_owned());
        }
        warnings
    }
}

fn refused_reload(RefusedReload { at, reason }: &RefusedReload) -> String {
    let at = at.strftime("%F %T UTC");
    format!("the reload at {at} was refused and changed nothing, the log says all: {reason}")
}

/// That checks cannot be carried out, and why of the first one.
fn unchecked(service: &Service) -> Option<String> {
    let unchecked = || service.backends.iter().filter(|backend| backend.is_unchecked);
    let Backend { spec, detail, .. } = unchecked().next()?;
    let (name, count, all) = (&service.spec.name, unchecked().count(), service.backends.len());
    let address = spec.address;
    Some(format!(
        "{name}: {count} of {all} backends cannot be checked, and keep the health that they had: \
         {address}: {detail}"
    ))
}

fn total(incidents: &Incidents, wanted: Incident) -> u64 {
    incidents.iter().find(|(incident, _)| *incident == wanted).map_or(0, |(_, total)| *total)
}

fn incident_view((incident, total): (Incident, u64)) -> IncidentView {
    IncidentView { incident: incident.as_str().to_owned(), total }
}

fn backend_stats(backend: &Backend, traffic: &BTreeMap<u32, Traffic>) -> BackendStats {
    let through = traffic.get(&backend.id).copied().unwrap_or_default();
    BackendStats {
        address: backend.spec.address,
        connections: through.connections,
        packets_in: through.inbound.packets,
        packets_out: through.outbound.packets,
        bytes_in: through.inbound.bytes,
        bytes_out: through.outbound.bytes,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn failed(error: anyhow::Error) -> Refusal {
    Refusal::Failed(format!("{error:#}"))
}
