//! Remaining connections of removed services and backends.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
};

use lb_common::stats::Traffic;
use lb_dataplane::listing::Directory;
use lb_model::{
    Service, Vip,
    connections::REMOVED,
    views::{BackendStats, ServiceStats},
};

use super::{backends::Left, service::Service as Running, snapshot::Snapshot, views::Views};

/// Ids of backends, by address.
type Gone = BTreeMap<SocketAddr, Vec<u32>>;

/// Removed backends that connections may refer to.
#[derive(Default)]
pub(super) struct Remains<'a> {
    /// Backends of existing services, by name.
    of_services: HashMap<&'a str, Gone>,
    /// Ids that present backends had before, and the names of their services. These count as the
    /// present backends'.
    of_present: Vec<(u32, &'a str)>,
    /// Removed services and their backends, by former VIP.
    with_services: BTreeMap<Vip, (&'a Service, Gone)>,
}

impl<'a> Views<'a> {
    pub(super) fn remains(&self) -> Remains<'a> {
        let Snapshot { state, document, .. } = self.snapshot;
        let mut remains = Remains::default();
        let mut retired = state.kernel.retired().peekable();
        // Usually there are none.
        if retired.peek().is_none() {
            return remains;
        }
        let by_vip = document.services().map(|one| (one.vip, one.name.as_str()));
        let by_vip: HashMap<_, _> = by_vip.collect();
        let by_id = state.services().map(|one| (one.id, one.spec.name.as_str()));
        let by_id: HashMap<_, _> = by_id.collect();
        let present: HashSet<_> = state.services().flat_map(places).collect();
        for Left { id, address, service, owner } in retired {
            let of_id = service.and_then(|service| by_id.get(&service).copied());
            if let (Some(name), Some(service)) = (of_id, service)
                && present.contains(&(service, address))
            {
                remains.of_present.push((id, name));
                continue;
            }
            let heir = of_id
                .or_else(|| by_vip.get(&owner.vip).copied())
                .or_else(|| document.service(&owner.name).map(|one| one.name.as_str()));
            let gone = match heir {
                Some(name) => remains.of_services.entry(name).or_default(),
                None => {
                    &mut remains.with_services.entry(owner.vip).or_insert((owner, Gone::new())).1
                }
            };
            gone.entry(address).or_default().push(id);
        }
        remains
    }

    /// Returns the number of active connections of these ids.
    pub(super) fn active(&self, ids: impl Iterator<Item = u32>) -> u64 {
        ids.map(|id| self.counters.active(id)).sum()
    }

    fn removed_stats(&self, gone: &Gone, traffic: &BTreeMap<u32, Traffic>) -> Vec<BackendStats> {
        let stats = gone.iter().map(|(address, ids)| BackendStats {
            removed_left: Some(self.active(ids.iter().copied())),
            ..self.backend_stats(*address, ids.iter().copied(), traffic)
        });
        stats.collect()
    }

    /// Returns the counters of the removed backends of a service.
    pub(super) fn removed_of(
        &self,
        service: &str,
        remains: &Remains<'_>,
        traffic: &BTreeMap<u32, Traffic>,
    ) -> Vec<BackendStats> {
        let gone = remains.of_services.get(service);
        gone.map(|gone| self.removed_stats(gone, traffic)).unwrap_or_default()
    }

    /// Returns the counters of removed services.
    pub(super) fn removed_services(
        &self,
        remains: &Remains<'_>,
        traffic: &BTreeMap<u32, Traffic>,
    ) -> Vec<ServiceStats> {
        let services = remains.with_services.values().map(|(owner, gone)| ServiceStats {
            name: owner.name.clone(),
            vip: owner.vip.address,
            removed: true,
            backends: self.removed_stats(gone, traffic),
        });
        services.collect()
    }

    /// Returns warnings as in `web: removed, 3 connections left`.
    pub(super) fn removed_warnings(&self, remains: &Remains<'_>) -> Vec<String> {
        let services = remains.with_services.values().filter_map(|(owner, gone)| {
            let left = self.active(gone.values().flatten().copied());
            (left > 0).then(|| format!("{}: removed, {}", owner.name, connections_left(left)))
        });
        services.collect()
    }

    /// Returns warnings as in `10.0.0.11:80 removed, 1 connection left`.
    pub(super) fn removed_backends(&self, service: &str, remains: &Remains<'_>) -> Vec<String> {
        let left = self.left_of(service, remains);
        left.map(|(address, left)| format!("{address} {left}")).collect()
    }

    /// Returns the removed backends of a service that have connections, each with `removed, 1 connection
    /// left`.
    pub(super) fn left_of(
        &self,
        service: &str,
        remains: &Remains<'_>,
    ) -> impl Iterator<Item = (SocketAddr, String)> {
        let gone = remains.of_services.get(service).into_iter().flatten();
        let left = gone.map(|(address, ids)| (*address, self.active(ids.iter().copied())));
        let left = left.filter(|(_, left)| *left > 0);
        left.map(|(address, left)| (address, format!("removed, {}", connections_left(left))))
    }
}

impl Remains<'_> {
    /// Adds the names of removed backends to the directory.
    pub(super) fn name(&self, directory: &mut Directory) {
        for (name, gone) in &self.of_services {
            directory.extend(gone.values().flatten().map(|id| (*id, (*name).to_owned())));
        }
        directory.extend(self.of_present.iter().map(|(id, name)| (*id, (*name).to_owned())));
        for (owner, gone) in self.with_services.values() {
            let name = format!("{}{REMOVED}", owner.name);
            directory.extend(gone.values().flatten().map(|id| (*id, name.clone())));
        }
    }
}

/// Returns a service's id with the address of each backend.
fn places(service: &Running) -> impl Iterator<Item = (u32, SocketAddr)> {
    service.backends.iter().map(|backend| (service.id, backend.spec.address))
}

fn connections_left(count: u64) -> String {
    let noun = if count == 1 { "connection" } else { "connections" };
    format!("{count} {noun} left")
}
