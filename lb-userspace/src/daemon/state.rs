//! What the daemon knows: the services as the operator wants them, and how they are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use lb_common::{backend::Hop, service::ServiceKey, snat::Source};

use super::{
    backends::{Backends, wire_address},
    ids::Ids,
    memory::{Memories, Remembered},
    service::{Backend, Service},
};
use crate::{
    config::Limits,
    dataplane::Adopted,
    desired::Difference,
    model::{self, Health},
    plan::{Goal, ServiceImage, Wanted},
};

/// Copies share what they have in common, so that a change is made on a copy, and dropped if the
/// kernel does not take it.
#[derive(Clone, Debug)]
pub struct State {
    services: OrdMap<String, Arc<Service>>,
    pub kernel: Backends,
    service_ids: Ids,
    /// What the kernel should know of the services.
    wanted: OrdMap<ServiceKey, Wanted>,
    by_address: OrdSet<Place>,
    /// How frames reach the addresses of backends, as far as that was told.
    ways: OrdMap<IpAddr, Way>,
    /// Services that a former daemon has left and that have not been configured yet.
    left: OrdMap<ServiceKey, ServiceImage>,
    /// What it knew of their backends.
    memories: Memories,
}

/// How frames reach an address, or why they cannot, and from which sources.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    pub hop: Result<Hop, String>,
    pub sources: Vec<Source>,
}

/// Which backend of which service.
type Place = (IpAddr, String, SocketAddr);

impl State {
    /// Starts from what a former daemon has left in the kernel.
    #[must_use]
    pub fn new(adopted: &Adopted, memories: Memories, limits: &Limits) -> Self {
        let mut service_ids = Ids::new("service", 0, limits.services);
        for service in adopted.services.values() {
            service_ids.claim(service.wanted.id);
        }
        Self {
            services: OrdMap::new(),
            kernel: Backends::adopt(adopted, limits.backends),
            service_ids,
            wanted: OrdMap::new(),
            by_address: OrdSet::new(),
            ways: OrdMap::new(),
            left: adopted.services.clone(),
            memories,
        }
    }

    /// Follows a change of what is wanted. What is known of those that stay is kept.
    pub fn follow(&mut self, difference: &Difference) -> Result<()> {
        for name in &difference.removed {
            self.remove(name);
        }
        for spec in &difference.set {
            let service = self.configured(spec)?;
            self.put(service);
        }
        Ok(())
    }

    /// Gives what a former daemon has left, and nobody has configured, up.
    pub fn forget_left(&mut self) {
        self.memories.clear();
        for (key, left) in std::mem::take(&mut self.left) {
            if !self.wanted.contains_key(&key) {
                self.service_ids.free(left.wanted.id);
            }
        }
    }

    fn configured(&mut self, spec: &Arc<model::Service>) -> Result<Service> {
        let known = self.services.get(&spec.name).cloned();
        let id = match &known {
            Some(service) => service.id,
            None => match self.left.get(&key(spec)) {
                Some(left) => left.wanted.id,
                None => self.service_ids.allocate()?,
            },
        };
        let former = known.iter().flat_map(|service| &service.backends);
        let mut former: HashMap<_, _> = former.map(|one| (one.spec.address, one)).collect();
        let mut backends = Vec::new();
        for backend in &spec.backends {
            let known = former.remove(&backend.address).cloned();
            let backend = match known {
                Some(known) => known.with_spec(backend.clone()),
                None => self.meet(spec, id, backend)?,
            };
            backends.push(backend.with_probe(&spec.policy.health));
        }
        for backend in former.into_values() {
            self.kernel.depart(backend.id, spec.policy.timeouts, Instant::now());
        }
        Ok(Service { spec: Arc::clone(spec), id, backends, shares: Arc::default() })
    }

    /// A backend that is new to this daemon. What a former daemon knew of it is believed if its
    /// service was never off the kernel; and one that is in the ring counts as up until a check
    /// says otherwise.
    fn meet(
        &mut self,
        service: &model::Service,
        id: u32,
        spec: &model::Backend,
    ) -> Result<Backend> {
        let (id, hop) = self.kernel.take_id(id, spec.address)?;
        let mut remembered =
            self.memories.get_mut(&service.name).and_then(|known| known.remove(&spec.address));
        let known = match self.left.get(&key(service)) {
            Some(left) if left.wanted.slots.contains(&id) => Remembered::in_use(remembered),
            Some(_) => remembered
                .take_if(|known| known.held || known.health == Health::Down)
                .unwrap_or_else(Remembered::nothing),
            None => Remembered {
                held: remembered.is_some_and(|known| known.held),
                ..Remembered::nothing()
            },
        };
        let mut backend = Backend::new(spec.clone(), id, hop, known);
        if let Some(way) = self.ways.get(&spec.address.ip()).cloned() {
            self.lead(&mut backend, &way);
        }
        Ok(backend)
    }

    /// Has packets reach a backend this way. One that the maps have no room for is out of reach.
    fn lead(&mut self, backend: &mut Backend, way: &Way) {
        let routed = way.hop.clone().and_then(|hop| {
            let routed = self.kernel.route(backend.id, hop, &way.sources);
            routed.map(|()| hop).map_err(|error| format!("{error:#}"))
        });
        backend.reach(&routed);
    }

    /// Has packets reach the backends at these addresses these ways.
    pub fn resolve(&mut self, ways: Vec<(IpAddr, Way)>) {
        let mut by_service: BTreeMap<String, Vec<(SocketAddr, Way)>> = BTreeMap::new();
        for (address, way) in ways {
            let places = self.places_at(address);
            if places.is_empty() {
                continue;
            }
            for (service, backend) in places {
                by_service.entry(service).or_default().push((backend, way.clone()));
            }
            self.ways.insert(address, way);
        }
        for (name, ways) in by_service {
            let Some(service) = self.services.get(&name) else { continue };
            let mut service = Service::clone(service);
            for (backend, way) in ways {
                if let Some(backend) = service.backend_mut(backend) {
                    self.lead(backend, &way);
                }
            }
            self.know(service);
        }
    }

    /// Takes a service in, in the place of the former one of its name.
    pub fn put(&mut self, service: Service) {
        let places: HashSet<_> = places(&service).collect();
        self.by_address.extend(places.iter().cloned());
        if let Some(former) = self.services.get(&service.spec.name).cloned() {
            self.forget(&former, &places);
        }
        self.know(service);
    }

    /// Takes in what is known of a service, whose backends are the same as before.
    fn know(&mut self, mut service: Service) {
        service.release();
        let members = service.members();
        let shares: Arc<[_]> = members.iter().map(|one| (one.id, one.weight)).collect();
        let key = key(&service.spec);
        if shares != service.shares || !self.owns(&key, &service) {
            shares.iter().for_each(|(id, weight)| self.kernel.weigh(*id, *weight));
            self.wanted.insert(key, service.wanted(&members));
            service.shares = shares;
        }
        self.services.insert(service.spec.name.clone(), Arc::new(service));
    }

    fn remove(&mut self, name: &str) {
        let Some(service) = self.services.remove(name) else { return };
        self.forget(&service, &HashSet::new());
        for backend in &service.backends {
            self.kernel.depart(backend.id, service.spec.policy.timeouts, Instant::now());
        }
        self.service_ids.free(service.id);
    }

    /// Forgets where a service's backends were, but for these.
    fn forget(&mut self, service: &Service, kept: &HashSet<Place>) {
        let key = key(&service.spec);
        if self.owns(&key, service) {
            self.wanted.remove(&key);
        }
        for place in places(service).filter(|place| !kept.contains(place)) {
            self.by_address.remove(&place);
            if self.at(place.0).next().is_none() {
                self.ways.remove(&place.0);
            }
        }
    }

    /// Whether a VIP is this service's: it may be another one's by now, or still be.
    fn owns(&self, vip: &ServiceKey, service: &Service) -> bool {
        self.wanted.get(vip).is_some_and(|wanted| wanted.id == service.id)
    }

    /// Changes what is known of a service, if the change says so.
    pub fn change_service(&mut self, name: &str, change: impl FnOnce(&mut Service) -> bool) {
        let Some(service) = self.services.get(name) else { return };
        let mut service = Service::clone(service);
        if change(&mut service) {
            self.know(service);
        }
    }

    /// Changes what is known of a backend, if there is one.
    pub fn change_backend(
        &mut self,
        service: &str,
        address: SocketAddr,
        change: impl FnOnce(&mut Backend),
    ) {
        self.change_service(service, |service| service.backend_mut(address).map(change).is_some());
    }

    /// Gives backends that have come back more of their share. Returns whether any has.
    pub fn warm(&mut self, now: Timestamp) -> bool {
        let warming = self.services().filter(|service| service.is_warming());
        let warming: Vec<_> = warming.map(|service| service.spec.name.clone()).collect();
        for name in &warming {
            self.change_service(name, |service| {
                service.warm(now);
                true
            });
        }
        !warming.is_empty()
    }

    /// The kernel's maps as they should be.
    #[must_use]
    pub fn goal(&self) -> Goal {
        Goal {
            services: self.wanted.clone(),
            backends: self.kernel.entries().clone(),
            sources: self.kernel.places().clone(),
        }
    }

    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name).map(Arc::as_ref)
    }

    /// In the order of their names.
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

    /// The backends at an address, by service.
    #[must_use]
    pub fn places_at(&self, address: IpAddr) -> Vec<(String, SocketAddr)> {
        self.at(address).map(|(_, service, backend)| (service.clone(), *backend)).collect()
    }

    fn at(&self, address: IpAddr) -> impl Iterator<Item = &Place> {
        let places = self.by_address.range((address, String::new(), ([0; 4], 0).into())..);
        places.take_while(move |(its, _, _)| *its == address)
    }

    /// Names of services that this and the other state know different things of, or only one.
    #[must_use]
    pub fn touched_since(&self, other: &Self) -> Vec<String> {
        let touched = other.services.diff(&self.services).map(|item| match item {
            imbl::ordmap::DiffItem::Add(name, _)
            | imbl::ordmap::DiffItem::Remove(name, _)
            | imbl::ordmap::DiffItem::Update { new: (name, _), .. } => name.clone(),
        });
        touched.collect()
    }
}

fn places(service: &Service) -> impl Iterator<Item = Place> {
    let addresses = service.backends.iter().map(|backend| backend.spec.address);
    addresses.map(|address| (address.ip(), service.spec.name.clone(), address))
}

fn key(service: &model::Service) -> ServiceKey {
    let vip = service.vip.address;
    ServiceKey::tcp(wire_address(vip.ip()), vip.port().to_be_bytes())
}

#[cfg(test)]
pub(super) mod tests;
