//! State of the daemon: services as configured and as they are.

mod follow;
mod inherit;
mod renewal;
mod routes;

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use imbl::{OrdMap, OrdSet, ordmap::DiffItem};
use lb_common::service::ServiceKey;
use lb_dataplane::{
    adoption::Adopted,
    plan::{Goal, ServiceImage, Wanted},
    ring::{Excess, Need},
};
use lb_model::Limits;

pub use self::routes::Route;
use super::{
    backends::{Backends, Presence, wire_address},
    failover,
    groups::Groups,
    ids::Ids,
    remembered::Memories,
    service::{Backend, Service},
};

/// Clones share common parts: a change is made on a clone, which is dropped if the kernel rejects
/// it.
#[derive(Clone, Debug)]
pub struct State {
    services: OrdMap<String, Arc<Service>>,
    pub kernel: Backends,
    service_ids: Ids,
    /// Ids of removed services that retired backends still have.
    held_ids: OrdSet<u32>,
    groups: Arc<Groups>,
    /// Desired map content of services.
    wanted: OrdMap<ServiceKey, Wanted>,
    by_address: OrdSet<BackendKey>,
    /// Room that the services may need in the kernel's maps.
    need: Need,
    /// Known routes to the addresses of backends.
    routes: OrdMap<IpAddr, Route>,
    /// Services left by an earlier daemon that have not been configured yet.
    left: OrdMap<ServiceKey, ServiceImage>,
    /// Its stored state of their backends.
    memories: Memories,
}

/// Address, service and backend.
type BackendKey = (IpAddr, String, SocketAddr);

impl State {
    /// Creates the state from the maps left by an earlier daemon.
    #[must_use]
    pub fn new(adopted: &Adopted, memories: Memories, limits: &Limits) -> Self {
        let mut service_ids = Ids::new("service", 0, limits.services);
        for service in adopted.services.values() {
            service_ids.claim(service.wanted.id);
        }
        let known: HashSet<_> = adopted.services.values().map(|one| one.wanted.id).collect();
        let named = adopted.backends.values().map(|backend| backend.service);
        let held_ids: OrdSet<_> = named.filter(|id| !known.contains(id)).collect();
        held_ids.iter().for_each(|id| service_ids.claim(*id));
        Self {
            services: OrdMap::new(),
            kernel: Backends::adopt(adopted, limits.backends),
            service_ids,
            held_ids,
            groups: Arc::default(),
            wanted: OrdMap::new(),
            by_address: OrdSet::new(),
            need: Need::default(),
            routes: OrdMap::new(),
            left: adopted.services.clone(),
            memories,
        }
    }

    /// Returns the state with these groups, which stay the same.
    #[must_use]
    pub fn grouped(mut self, groups: Arc<Groups>) -> Self {
        self.kernel.group(Arc::clone(&groups));
        Self { groups, ..self }
    }

    /// Returns an error if the services exceed a limit once all their backends are up, and the
    /// running ones do not exceed it as much: there may be room only at present.
    pub fn admit(&self, running: Need, limits: &Limits) -> Result<(), Excess> {
        self.need.excess(running, limits).map_or(Ok(()), Err)
    }

    /// Returns the room that the services may need.
    #[must_use]
    pub fn need(&self) -> Need {
        self.need
    }

    /// Adds a service.
    fn put(&mut self, service: Service) {
        self.need += Need::of(&service.spec);
        self.by_address.extend(places(&service));
        self.know(service);
    }

    /// Updates the state of a service whose backends are the same as before.
    fn know(&mut self, mut service: Service) {
        service.release();
        for backend in service.let_go(Instant::now()) {
            self.kernel.retire(backend.id, Some(&service.spec), Instant::now());
        }
        service.fails_open = failover::fails_open(&service);
        service.is_out = failover::is_out(&service);
        let members = service.members();
        let shares: Arc<[_]> = members.iter().map(|one| (one.id, one.weight)).collect();
        let is_compared = service.spec.policy.scheduler.compares();
        let in_ring: HashSet<u32> = members.iter().map(|member| member.id).collect();
        for backend in &service.backends {
            let is_in_ring = in_ring.contains(&backend.id);
            let presence = if is_in_ring { Presence::InRing } else { backend.absence() };
            self.kernel.set_presence(backend.id, presence);
        }
        for backend in service.backends.iter().chain(&service.leaving) {
            self.kernel.set_compared(backend.id, is_compared);
        }
        let key = key(&service.spec);
        if shares != service.shares || !self.owns(&key, &service) {
            shares.iter().for_each(|(id, weight)| self.kernel.set_weight(*id, *weight));
            let group = u16::try_from(self.groups.of(&key.address)).unwrap_or_default();
            self.wanted.insert(key, Wanted { group, ..service.wanted(&members) });
            service.shares = shares;
        }
        self.services.insert(service.spec.name.clone(), Arc::new(service));
    }

    /// Returns true if a VIP is this service's, with the room that it needs: it may now, or still, be
    /// another one's.
    fn owns(&self, vip: &ServiceKey, service: &Service) -> bool {
        let is_its = |wanted: &Wanted| wanted.id == service.id && wanted.room == service.room();
        self.wanted.get(vip).is_some_and(is_its)
    }

    /// Changes the state of a service if the closure returns true.
    pub fn change_service(&mut self, name: &str, change: impl FnOnce(&mut Service) -> bool) {
        let Some(service) = self.services.get(name) else { return };
        let mut service = Service::clone(service);
        if change(&mut service) {
            self.know(service);
        }
    }

    /// Changes the state of a backend, if it exists.
    pub fn change_backend(
        &mut self,
        service: &str,
        address: SocketAddr,
        change: impl FnOnce(&mut Backend),
    ) {
        self.change_service(service, |service| service.backend_mut(address).map(change).is_some());
    }

    /// Applies changes by time alone: slow starts, and the release of removed backends. Returns
    /// true if there are any.
    pub fn follow_time(&mut self, now: Instant) -> bool {
        let changing = self.services().filter(|service| service.is_in_transition());
        let changing: Vec<_> = changing.map(|service| service.spec.name.clone()).collect();
        for name in &changing {
            self.change_service(name, |service| {
                service.warm(now);
                true
            });
        }
        !changing.is_empty()
    }

    /// Returns the desired content of the kernel's maps.
    #[must_use]
    pub fn goal(&self) -> Goal {
        Goal {
            services: self.wanted.clone(),
            backends: self.kernel.entries().clone(),
            sources: self.kernel.places().clone(),
        }
    }

    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name).map(Arc::as_ref)
    }

    /// Returns all services by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values().map(Arc::as_ref)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.services().flat_map(|service| &service.backends)
    }

    /// Returns the configured backends of these ids, each with its service.
    pub fn backends_of<'a>(
        &'a self,
        ids: &'a BTreeSet<u32>,
    ) -> impl Iterator<Item = (&'a Service, &'a Backend)> {
        let entries = ids.iter().filter_map(|id| self.kernel.entries().get(id));
        let owners: HashSet<u32> = entries.map(|entry| entry.service).collect();
        // Usually there are none.
        let services = (!owners.is_empty()).then(|| self.services()).into_iter().flatten();
        let owners = services.filter(move |service| owners.contains(&service.id));
        let backends = owners
            .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
        backends.filter(|(_, backend)| ids.contains(&backend.id))
    }

    /// Returns the backends at an address, by service.
    #[must_use]
    pub fn places_at(&self, address: IpAddr) -> Vec<(String, SocketAddr)> {
        self.at(address).map(|(_, service, backend)| (service.clone(), *backend)).collect()
    }

    fn at(&self, address: IpAddr) -> impl Iterator<Item = &BackendKey> {
        let places = self.by_address.range((address, String::new(), ([0; 4], 0).into())..);
        places.take_while(move |(its, _, _)| *its == address)
    }

    /// Returns the names of services that differ between the states, or that only one has.
    #[must_use]
    pub fn touched_since(&self, other: &Self) -> Vec<String> {
        let touched = other.services.diff(&self.services).map(|item| match item {
            DiffItem::Add(name, _)
            | DiffItem::Remove(name, _)
            | DiffItem::Update { new: (name, _), .. } => name.clone(),
        });
        touched.collect()
    }
}

fn places(service: &Service) -> impl Iterator<Item = BackendKey> {
    let addresses = service.backends.iter().map(|backend| backend.spec.address);
    addresses.map(|address| (address.ip(), service.spec.name.clone(), address))
}

fn key(service: &lb_model::Service) -> ServiceKey {
    let vip = service.vip.address;
    ServiceKey::tcp(wire_address(vip.ip()), vip.port().to_be_bytes())
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod prefixes;
#[cfg(test)]
pub(super) mod tests;
