//! Remaining connections of removed services and backends.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use lb_common::stats::Traffic;

use super::{Daemon, views::backend_stats};
use crate::{
    connections::{Directory, REMOVED},
    control::{BackendStats, ServiceStats},
    model::{Service, Vip},
};

/// Ids and addresses of backends.
type Gone = Vec<(u32, SocketAddr)>;

/// Removed backends that connections may refer to.
#[derive(Default)]
pub(super) struct Remains<'a> {
    /// Backends of existing services, by name.
    of_services: HashMap<&'a str, Gone>,
    /// Removed services and their backends, by former VIP.
    with_services: BTreeMap<Vip, (&'a Service, Gone)>,
}

impl Daemon {
    pub(super) fn remains(&self) -> Remains<'_> {
        let mut remains = Remains::default();
        let mut retired = self.state.kernel.retired().peekable();
        // Usually there are none.
        if retired.peek().is_none() {
            return remains;
        }
        let document = self.document();
        let by_vip = document.services().map(|one| (one.vip, one.name.as_str()));
        let by_vip: HashMap<_, _> = by_vip.collect();
        for (id, address, owner) in retired {
            let same_vip = by_vip.get(&owner.vip).copied();
            let heir =
                same_vip.or_else(|| document.service(&owner.name).map(|one| one.name.as_str()));
            let gone = match heir {
                Some(name) => remains.of_services.entry(name).or_default(),
                None => {
                    &mut remains.with_services.entry(owner.vip).or_insert((owner, Vec::new())).1
                }
            };
            gone.push((id, address));
        }
        remains
    }

    /// Returns the number of remaining connections of a removed backend.
    fn left(&self, id: u32) -> u64 {
        self.flow_counts.known.get(&id).copied().unwrap_or_default()
    }

    fn removed_stats(&self, gone: &Gone, traffic: &BTreeMap<u32, Traffic>) -> Vec<BackendStats> {
        let stats = gone.iter().map(|(id, address)| BackendStats {
            removed_left: Some(self.left(*id)),
            ..backend_stats(*address, *id, traffic)
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
            let left = gone.iter().map(|(id, _)| self.left(*id)).sum();
            (left > 0).then(|| format!("{}: removed, {}", owner.name, connections_left(left)))
        });
        services.collect()
    }

    /// Returns warnings as in `10.0.0.11:80 removed, 1 connection left`.
    pub(super) fn removed_backends(&self, service: &str, remains: &Remains<'_>) -> Vec<String> {
        let gone = remains.of_services.get(service).into_iter().flatten();
        let left = gone.map(|(id, address)| (address, self.left(*id)));
        let left = left.filter(|(_, left)| *left > 0);
        left.map(|(address, left)| format!("{address} removed, {}", connections_left(left)))
            .collect()
    }
}

impl Remains<'_> {
    /// Adds the names of removed backends to the directory.
    pub(super) fn name(&self, directory: &mut Directory) {
        for (name, gone) in &self.of_services {
            directory.extend(gone.iter().map(|(id, _)| (*id, (*name).to_owned())));
        }
        for (owner, gone) in self.with_services.values() {
            let name = format!("{}{REMOVED}", owner.name);
            directory.extend(gone.iter().map(|(id, _)| (*id, name.clone())));
        }
    }
}

fn connections_left(count: u64) -> String {
    let noun = if count == 1 { "connection" } else { "connections" };
    format!("{count} {noun} left")
}
