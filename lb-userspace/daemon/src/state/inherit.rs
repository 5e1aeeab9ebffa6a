//! State of services and backends from those that they continue.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use lb_model::{Admin, Health};

use super::{State, key};
use crate::{
    clock::Span,
    remembered::Remembered,
    service::{Backend, Service},
};

impl State {
    /// Returns a service as configured, with the state of the one that it continues.
    pub(super) fn configured(
        &mut self,
        spec: &Arc<lb_model::Service>,
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
                Some(known) => self.at_vip(spec, id, known, former)?.with_spec(backend.clone()),
                None => self.adopt_backend(spec, id, backend, before)?,
            };
            backends.push(backend.with_probe(&spec.policy.health));
        }
        let mut service = Service::new(Arc::clone(spec), id, backends);
        service.is_out = former.is_some_and(|one| one.is_out);
        service.fails_open = former.is_some_and(|one| one.fails_open);
        self.hand_over(&mut service, former, known.into_values().collect())?;
        Ok(service)
    }

    /// Returns a backend with the id that it has for its service's VIP. Its connections to the former
    /// VIP keep the former id.
    fn at_vip(
        &mut self,
        spec: &Arc<lb_model::Service>,
        service: u32,
        backend: Backend,
        former: Option<&Service>,
    ) -> Result<Backend> {
        let vip = key(spec);
        if former.is_none_or(|former| key(&former.spec) == vip) {
            return Ok(backend);
        }
        self.kernel.retire(backend.id, Some(spec), Instant::now());
        let (id, _) = self.kernel.take_id(service, &vip, backend.spec.address)?;
        let mut backend = Backend { id, ..backend };
        // The VIP may be in another group, which has other source addresses.
        if let Some(route) = self.routes.get(&backend.spec.address.ip()).cloned() {
            self.set_route(&mut backend, &route);
        }
        Ok(backend)
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
        let (staying, retiring): (Vec<_>, Vec<_>) =
            gone.into_iter().partition(|one| members.iter().any(|member| member.id == one.id));
        for backend in retiring {
            self.kernel.retire(backend.id, Some(&service.spec), Instant::now());
        }
        let (spec, id) = (Arc::clone(&service.spec), service.id);
        let staying = staying.into_iter().map(|one| self.at_vip(&spec, id, one, former));
        let mut leaving = staying.collect::<Result<Vec<_>>>()?;
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
            let spec = lb_model::Backend {
                address: (ip, u16::from_be_bytes(entry.port)).into(),
                weight: entry.weight.max(1),
                backup: false,
                admin: Admin::Enabled,
                drain_until: None,
            };
            let vip = key(&service.spec);
            let (id, hop) = self.kernel.take_id(service.id, &vip, spec.address)?;
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
        service: &lb_model::Service,
        id: u32,
        spec: &lb_model::Backend,
        before: &Self,
    ) -> Result<Backend> {
        let (id, hop) = self.kernel.take_id(id, &key(service), spec.address)?;
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
    fn recollect(
        &mut self,
        service: &lb_model::Service,
        address: SocketAddr,
    ) -> Option<Remembered> {
        let vip = service.vip.to_string();
        let known = match self.memories.get_mut(&vip) {
            Some(known) => known,
            None => self.memories.get_mut(&service.name)?,
        };
        known.remove(&address)
    }

    /// Returns the result of a check of the same type of an address by another service, or by this
    /// one, if it had another VIP before.
    fn found(&self, service: &lb_model::Service, address: SocketAddr) -> Option<Remembered> {
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
}
