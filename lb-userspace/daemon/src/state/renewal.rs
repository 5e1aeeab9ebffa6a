//! Ids that backends had before their services got other VIPs. Connections to a former VIP keep the
//! former id, and count as the backend's as before.

use std::{
    collections::{HashMap, HashSet},
    iter::once,
    net::SocketAddr,
    time::Instant,
};

use lb_dataplane::Expiry;

use super::State;
use crate::service::{Backend, Service};

impl State {
    /// Returns the id of a backend, and those that it had for other VIPs.
    pub fn ids_of(&self, service: &Service, backend: &Backend) -> impl Iterator<Item = u32> {
        once(backend.id).chain(self.kernel.former_ids(service.id, backend.spec.address))
    }

    /// Returns the idle timeouts of all connections, by backend. Other connections end at once.
    #[must_use]
    pub fn expiry(&self, now: Instant) -> Expiry {
        let mut expiry = self.kernel.retired_expiry();
        for service in self.services() {
            let kept: HashMap<_, _> = service.expiry(now).collect();
            for backend in service.backends.iter().chain(&service.leaving) {
                for former in self.kernel.former_ids(service.id, backend.spec.address) {
                    match kept.get(&backend.id) {
                        Some(timeouts) => expiry.insert(former, *timeouts),
                        None => expiry.remove(&former),
                    };
                }
            }
            expiry.extend(kept);
        }
        expiry
    }

    /// Returns the backends that have another id than in a former state: the former id and the
    /// present one.
    #[must_use]
    pub fn renewed_since(&self, former: &Self) -> Vec<(u32, u32)> {
        let touched = self.touched_since(former);
        let touched: Vec<_> = touched.iter().filter_map(|name| self.service(name)).collect();
        let ids: HashSet<u32> = touched.iter().map(|service| service.id).collect();
        let before = former.services().filter(|service| ids.contains(&service.id));
        let before: HashMap<u32, &Service> = before.map(|service| (service.id, service)).collect();
        let moved = touched.into_iter().filter_map(|service| {
            let before = before.get(&service.id)?;
            (before.spec.vip != service.spec.vip).then_some((*before, service))
        });
        moved.flat_map(|(before, service)| renewed(before, service)).collect()
    }
}

fn renewed(before: &Service, now: &Service) -> Vec<(u32, u32)> {
    let ids: HashMap<SocketAddr, u32> =
        before.backends.iter().map(|backend| (backend.spec.address, backend.id)).collect();
    let pairs = now.backends.iter().filter_map(|one| Some((*ids.get(&one.spec.address)?, one.id)));
    pairs.filter(|(former, present)| former != present).collect()
}

#[cfg(test)]
mod tests;
