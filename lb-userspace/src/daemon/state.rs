//! State of the daemon: services as configured and as they are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use imbl::{OrdMap, OrdSet, ordmap::DiffItem};
use lb_common::{backend::Hop, service::ServiceKey, snat::Source};

use super::{
    backends::{Backends, Presence, wire_address},
    clock::Span,
    ids::Ids,
    memory::{Memories, Remembered},
    service::{Backend, Service},
};
use crate::{
    adoption::Adopted,
    config::Limits,
    desired::{Difference, successions},
    model::{self, Admin, Health},
    plan::{Goal, ServiceImage, Wanted},
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
    /// Desired map content of services.
    wanted: OrdMap<ServiceKey, Wanted>,
    by_address: OrdSet<BackendKey>,
    /// Known routes to the addresses of backends.
    routes: OrdMap<IpAddr, Route>,
    /// Services left by an earlier daemon that have not been configured yet.
    left: OrdMap<ServiceKey, ServiceImage>,
    /// Its stored state of their backends.
    memories: Memories,
}

/// Next hop of an address, or the reason why there is none, and source addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub hop: Result<Hop, String>,
    pub sources: Vec<Source>,
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
            wanted: OrdMap::new(),
            by_address: OrdSet::new(),
            routes: OrdMap::new(),
            left: adopted.services.clone(),
            memories,
        }
    }

    /// Applies a change of the document. The state of services that stay is kept, under whatever
    /// name.
    pub fn follow(&mut self, difference: &Difference) -> Result<()> {
        let before = self.clone();
        let formers = self.take_out(difference);
        let specs: Vec<_> = formers.iter().map(|one| Arc::clone(&one.spec)).collect();
        let successions = successions(&specs, &difference.set);
        let continued: HashSet<_> = successions.iter().flatten().copied().collect();
        for (nth, former) in formers.iter().enumerate() {
            if !continued.contains(&nth) {
                self.retire(former);
            }
        }
        for (spec, former) in difference.set.iter().zip(successions) {
            let former = former.map(|nth| formers[nth].as_ref());
            let service = self.configured(spec, former, &before)?;
            self.put(service);
        }
        self.forget_routes(&formers);
        Ok(())
    }

    /// Returns the state from before a difference was followed and `committed`, with the events
    /// since then.
    #[must_use]
    pub fn without(&self, difference: &Difference, former: Self, committed: &Self) -> Self {
        let touched: HashSet<_> =
            difference.set.iter().map(|spec| &spec.name).chain(&difference.removed).collect();
        let mut state = former;
        for (name, service) in self.services.iter().filter(|(name, _)| !touched.contains(name)) {
            let Some(before) = state.services.get(name).cloned() else { continue };
            if Arc::ptr_eq(&before, service) {
                continue;
            }
            let stays = |id| service.leaving.iter().any(|one| one.id == id);
            for left in before.leaving.iter().filter(|one| !stays(one.id)) {
                state.kernel.retire(left.id, Some(&before.spec), Instant::now());
            }
            state.know(Service::clone(service));
        }
        for name in touched {
            state.change_service(name, |service| self.pass_verdicts(service, committed));
        }
        let told = state.routes.diff(&self.routes).filter_map(|item| match item {
            DiffItem::Add(address, route) | DiffItem::Update { new: (address, route), .. } => {
                Some((*address, route.clone()))
            }
            DiffItem::Remove(..) => None,
        });
        let told = told.collect();
        state.resolve(told);
        state
    }

    /// Copies results of checks since a state was committed, which are not reported twice. Returns
    /// true if there were any.
    fn pass_verdicts(&self, to: &mut Service, committed: &Self) -> bool {
        let of_id = |state: &Self| state.services().find(|one| one.id == to.id).cloned();
        let (Some(now), Some(then)) = (of_id(self), of_id(committed)) else { return false };
        if now.spec.policy.health != to.spec.policy.health {
            return false;
        }
        let mut is_any = false;
        for backend in &mut to.backends {
            let address = backend.spec.address;
            let (now, then) = (now.backend(address), then.backend(address));
            let Some(now) = now.filter(|now| now.id == backend.id && Some(*now) != then) else {
                continue;
            };
            let known = Backend { spec: backend.spec.clone(), ..now.clone() };
            *backend =
                Backend { drain: backend.drain, next_hop: backend.next_hop.clone(), ..known };
            is_any = true;
        }
        is_any
    }

    /// Removes all services that are removed or changed.
    fn take_out(&mut self, difference: &Difference) -> Vec<Arc<Service>> {
        let set = difference.set.iter().map(|spec| &spec.name);
        let names = set.chain(&difference.removed);
        let formers: Vec<_> = names.filter_map(|name| self.services.remove(name)).collect();
        for former in &formers {
            self.wanted.remove(&key(&former.spec));
            for place in places(former) {
                self.by_address.remove(&place);
            }
        }
        formers
    }

    /// Retires a service that no other continues.
    fn retire(&mut self, service: &Service) {
        for backend in service.backends.iter().chain(&service.leaving) {
            self.kernel.retire(backend.id, Some(&service.spec), Instant::now());
        }
        self.let_id_go(service.id);
    }

    /// Frees the id of a removed service, or holds it until its last retired backend is released.
    fn let_id_go(&mut self, id: u32) {
        if self.kernel.retired_services().contains(&id) {
            self.held_ids.insert(id);
        } else {
            self.service_ids.free(id);
        }
    }

    /// Returns an id for a service that continues no present one: the held id of a removed service
    /// of the same VIP or name, or a new one. If all ids are taken, a held one is reused, and its
    /// retired backends never come back.
    fn new_id(&mut self, spec: &model::Service) -> Result<u32> {
        let former = self.kernel.last_service_of(spec, &self.held_ids);
        if let Some(id) = former {
            self.held_ids.remove(&id);
            return Ok(id);
        }
        let allocated = self.service_ids.allocate();
        let Some(id) = self.held_ids.get_min().copied().filter(|_| allocated.is_err()) else {
            return allocated;
        };
        self.held_ids.remove(&id);
        self.kernel.disown(id);
        Ok(id)
    }

    /// Releases retired backends as [`Backends::release`] does, and the ids of services that have
    /// none left.
    pub fn release(&mut self, known: &HashMap<u32, u64>, begun: Instant) -> bool {
        let is_any = self.kernel.release(known, begun);
        if is_any && !self.held_ids.is_empty() {
            let still = self.kernel.retired_services();
            let (held, free): (OrdSet<_>, OrdSet<_>) =
                self.held_ids.iter().copied().partition(|id| still.contains(id));
            free.iter().for_each(|id| self.service_ids.free(*id));
            self.held_ids = held;
        }
        is_any
    }

    /// Forgets routes to addresses that only these former services had.
    fn forget_routes(&mut self, formers: &[Arc<Service>]) {
        for (address, ..) in formers.iter().flat_map(|former| places(former)) {
            if self.at(address).next().is_none() {
                self.routes.remove(&address);
            }
        }
    }

    /// Drops services of an earlier daemon that are not configured.
    pub fn forget_left(&mut self) {
        self.memories.clear();
        for (key, left) in std::mem::take(&mut self.left) {
            if !self.wanted.contains_key(&key) {
                self.let_id_go(left.wanted.id);
            }
        }
    }

    /// Returns a service as configured, with the state of the one that it continues.
    fn configured(
        &mut self,
        spec: &Arc<model::Service>,
        former: Option<&Service>,
        before: &Self,
    ) -> Result<Service> {
        let id = match (former, self.left.get(&key(spec))) {
            (Some(former), _) => former.id,
            (None, Some(left)) => left.wanted.id,
            (None, None) => self.new_id(spec)?,
        };
        let known = former.into_iter().flat_map(|one| one.backends.iter().chain(&one.leaving));
        let mut known: BTreeMap<_, _> = known.map(|one| (one.spec.address, one.clone())).collect();
        let mut backends = Vec::new();
        for backend in &spec.backends {
            let backend = match known.remove(&backend.address) {
                Some(known) => known.with_spec(backend.clone()),
                None => self.adopt_backend(spec, id, backend, before)?,
            };
            backends.push(backend.with_probe(&spec.policy.health));
        }
        let mut service = Service::new(Arc::clone(spec), id, backends);
        self.hand_over(&mut service, former, known.into_values().collect())?;
        Ok(service)
    }

    /// Keeps removed backends of a service that take connections now until others can. The others
    /// retire.
    fn hand_over(
        &mut self,
        service: &mut Service,
        former: Option<&Service>,
        gone: Vec<Backend>,
    ) -> Result<()> {
        let members = former.map(Service::members).unwrap_or_default();
        let (mut leaving, retiring): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|one| members.iter().any(|member| member.id == one.id));
        for backend in retiring {
            self.kernel.retire(backend.id, Some(&service.spec), Instant::now());
        }
        if former.is_none() {
            leaving = self.left_of(service)?;
        }
        service.handover = (!leaving.is_empty()).then(Span::begin);
        service.leaving = leaving;
        Ok(())
    }

    /// Returns the backends in the ring left by an earlier daemon that the service no longer has.
    fn left_of(&mut self, service: &Service) -> Result<Vec<Backend>> {
        let Some(left) = self.left.get(&key(&service.spec)) else { return Ok(Vec::new()) };
        let mut ids: BTreeSet<u32> = left.wanted.slots.iter().copied().collect();
        for backend in &service.backends {
            ids.remove(&backend.id);
        }
        let mut leaving = Vec::new();
        for id in ids {
            let entry = self.kernel.entries().get(&id).copied();
            let Some(entry) = entry.filter(|entry| entry.service == service.id) else { continue };
            let ip = Ipv6Addr::from(entry.address).to_canonical();
            let spec = model::Backend {
                address: (ip, u16::from_be_bytes(entry.port)).into(),
                weight: entry.weight.max(1),
                backup: false,
                admin: Admin::Enabled,
                drain_until: None,
            };
            let (id, hop) = self.kernel.take_id(service.id, spec.address)?;
            leaving.push(Backend::new(spec, id, hop, Remembered::in_use(None)));
        }
        Ok(leaving)
    }

    /// Returns a backend that is new to this daemon or to its service. The stored state of an
    /// earlier daemon is used if its service has stayed in the kernel's maps; a backend in the ring
    /// counts as up until its first check; and results of another service's check of the same type
    /// are shared.
    fn adopt_backend(
        &mut self,
        service: &model::Service,
        id: u32,
        spec: &model::Backend,
        before: &Self,
    ) -> Result<Backend> {
        let (id, hop) = self.kernel.take_id(id, spec.address)?;
        let mut remembered = self.recollect(service, spec.address);
        let drain = remembered.as_ref().and_then(|known| known.drain);
        let known = match self.left.get(&key(service)) {
            Some(left) if left.wanted.slots.contains(&id) => Remembered::in_use(remembered),
            Some(_) => remembered
                .take_if(|known| known.held || known.health == Health::Down)
                .unwrap_or_else(Remembered::nothing),
            None => {
                let found = before.found(service, spec.address);
                let found = found.unwrap_or_else(Remembered::nothing);
                let held = found.held || remembered.is_some_and(|known| known.held);
                Remembered { held, ..found }
            }
        };
        let mut backend = Backend::new(spec.clone(), id, hop, Remembered { drain, ..known });
        if let Some(route) = self.routes.get(&spec.address.ip()).cloned() {
            self.set_route(&mut backend, &route);
        }
        Ok(backend)
    }

    /// Returns the stored state of a backend.
    fn recollect(&mut self, service: &model::Service, address: SocketAddr) -> Option<Remembered> {
        let vip = service.vip.to_string();
        let known = match self.memories.get_mut(&vip) {
            Some(known) => known,
            None => self.memories.get_mut(&service.name)?,
        };
        known.remove(&address)
    }

    /// Returns the result of a check of the same type of an address by another service, or by this
    /// one, if it had another VIP before.
    fn found(&self, service: &model::Service, address: SocketAddr) -> Option<Remembered> {
        let places = self.at(address.ip()).filter(|(_, _, backend)| *backend == address);
        let mut names: Vec<_> = places.map(|(_, name, _)| name).collect();
        names.sort_by_key(|name| **name != service.name);
        let services = names.into_iter().filter_map(|name| self.services.get(name));
        let checked = services.filter(|one| one.spec.policy.health == service.policy.health);
        let mut known = checked.filter_map(|one| Some((one, one.backend(address)?)));
        let (other, known) =
            known.find(|(_, one)| one.is_checked() && one.health != Health::Unknown)?;
        Some(Remembered {
            health: known.health,
            detail: known.detail.clone(),
            since: known.since,
            held: known.held && other.spec.name == service.name,
            warming: known.warming,
            drain: None,
        })
    }

    /// Routes packets to a backend. A backend without room in the maps is unreachable.
    fn set_route(&mut self, backend: &mut Backend, route: &Route) {
        let routed = route.hop.clone().and_then(|hop| {
            let routed = self.kernel.route(backend.id, hop, &route.sources);
            routed.map(|()| hop).map_err(|error| format!("{error:#}"))
        });
        backend.next_hop = routed;
    }

    /// Routes packets to the backends at these addresses.
    pub fn resolve(&mut self, routes: Vec<(IpAddr, Route)>) {
        let mut by_service: BTreeMap<String, Vec<(SocketAddr, Route)>> = BTreeMap::new();
        for (address, route) in routes {
            let places = self.places_at(address);
            if places.is_empty() {
                continue;
            }
            for (service, backend) in places {
                by_service.entry(service).or_default().push((backend, route.clone()));
            }
            self.routes.insert(address, route);
        }
        for (name, routes) in by_service {
            let Some(service) = self.services.get(&name) else { continue };
            let mut service = Service::clone(service);
            for (backend, route) in routes {
                if let Some(backend) = service.backend_mut(backend) {
                    self.set_route(backend, &route);
                }
            }
            self.know(service);
        }
    }

    /// Adds a service.
    fn put(&mut self, service: Service) {
        self.by_address.extend(places(&service));
        self.know(service);
    }

    /// Updates the state of a service whose backends are the same as before.
    fn know(&mut self, mut service: Service) {
        service.release();
        for backend in service.let_go(Instant::now()) {
            self.kernel.retire(backend.id, Some(&service.spec), Instant::now());
        }
        let members = service.members();
        let shares: Arc<[_]> = members.iter().map(|one| (one.id, one.weight)).collect();
        let in_ring: HashSet<u32> = members.iter().map(|member| member.id).collect();
        for backend in &service.backends {
            let is_in_ring = in_ring.contains(&backend.id);
            let presence = if is_in_ring { Presence::InRing } else { backend.absence() };
            self.kernel.set_presence(backend.id, presence);
        }
        let key = key(&service.spec);
        if shares != service.shares || !self.owns(&key, &service) {
            shares.iter().for_each(|(id, weight)| self.kernel.set_weight(*id, *weight));
            self.wanted.insert(key, service.wanted(&members));
            service.shares = shares;
        }
        self.services.insert(service.spec.name.clone(), Arc::new(service));
    }

    /// Returns true if a VIP is this service's: it may now, or still, be another one's.
    fn owns(&self, vip: &ServiceKey, service: &Service) -> bool {
        self.wanted.get(vip).is_some_and(|wanted| wanted.id == service.id)
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

fn key(service: &model::Service) -> ServiceKey {
    let vip = service.vip.address;
    ServiceKey::tcp(wire_address(vip.ip()), vip.port().to_be_bytes())
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod prefixes;
#[cfg(test)]
pub(super) mod tests;
