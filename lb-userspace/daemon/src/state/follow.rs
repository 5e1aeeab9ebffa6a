//! Follows the document: services that come, change and go.

use std::{collections::HashSet, sync::Arc, time::Instant};

use anyhow::Result;
use imbl::{OrdSet, ordmap::DiffItem};
use lb_config::desired::{Difference, successions};
use lb_dataplane::ring::Need;

use super::{State, key, places};
use crate::service::{Backend, Service};

impl State {
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
        state.retire_later(self);
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

    /// Retires the backends that only a later state has, which was in the kernel's maps for a while, so that
    /// connections may refer to them, and holds the ids of their services.
    fn retire_later(&mut self, later: &Self) {
        let services = later.services().chain(self.services());
        let owners = services.map(|one| (one.id, Arc::clone(&one.spec))).collect();
        self.kernel.retire_later(&later.kernel, &owners);
        for id in self.kernel.retired_services() {
            if self.service_ids.is_free(id) {
                self.service_ids.claim(id);
                self.held_ids.insert(id);
            }
        }
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
            let Some(now) = now.filter(|now| Some(*now) != then) else { continue };
            let known = Backend { spec: backend.spec.clone(), id: backend.id, ..now.clone() };
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
            self.need -= Need::of(&former.spec);
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
    pub(super) fn let_id_go(&mut self, id: u32) {
        if self.kernel.retired_services().contains(&id) {
            self.held_ids.insert(id);
        } else {
            self.service_ids.free(id);
        }
    }

    /// Returns an id for a service that continues no present one: the held id of a removed service
    /// of the same VIP or name, or a new one. If all ids are taken, a held one is reused, and its
    /// retired backends never come back.
    pub(super) fn new_id(&mut self, spec: &lb_model::Service) -> Result<u32> {
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
    pub fn release(&mut self, referred: &HashSet<u32>, begun: Instant) -> bool {
        let is_any = self.kernel.release(referred, begun);
        if is_any && !self.held_ids.is_empty() {
            let still = self.kernel.retired_services();
            let (held, free): (OrdSet<_>, OrdSet<_>) =
                self.held_ids.iter().copied().partition(|id| still.contains(id));
            free.iter().for_each(|id| self.service_ids.free(*id));
            self.held_ids = held;
        }
        is_any
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
}
