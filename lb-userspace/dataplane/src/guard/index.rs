//! Desired content of the host guard's maps, and the writes to reach it.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::{backend::Backend, guard::Guarded, service::ServiceKey, snat::Source};

type Address = [u8; 16];

/// One write to the guard's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Address(Address, Guarded),
    ForgetAddress(Address),
    Backend(ServiceKey),
    ForgetBackend(ServiceKey),
}

/// Services, backends and source addresses by the guard's keys. Each method returns the required
/// writes, or nothing if there is no change.
#[derive(Debug, Default)]
pub struct Index {
    ports: BTreeMap<Address, BTreeSet<[u8; 2]>>,
    /// First and last port. A range only grows: connections outlive a configuration.
    sources: BTreeMap<Address, (u16, u16)>,
    backends: BTreeMap<u32, ServiceKey>,
    users: BTreeMap<ServiceKey, usize>,
}

impl Index {
    pub fn set_service(&mut self, service: &ServiceKey) -> Option<Change> {
        let before = self.guarded(service.address);
        self.ports.entry(service.address).or_default().insert(service.port);
        self.change(service.address, before)
    }

    pub fn remove_service(&mut self, service: &ServiceKey) -> Option<Change> {
        let before = self.guarded(service.address);
        let ports = self.ports.get_mut(&service.address)?;
        ports.remove(&service.port);
        if ports.is_empty() {
            self.ports.remove(&service.address);
        }
        self.change(service.address, before)
    }

    pub fn set_source(&mut self, source: &Source) -> Option<Change> {
        let Source { address, first_port, ports } = *source;
        let last_port = first_port.checked_add(ports.checked_sub(1)?)?;
        let before = self.guarded(address);
        let range = self.sources.entry(address).or_insert((first_port, last_port));
        *range = (range.0.min(first_port), range.1.max(last_port));
        self.change(address, before)
    }

    /// Returns at most two writes: the id's former backend may have no other user.
    pub fn set_backend(&mut self, id: u32, backend: &Backend) -> [Option<Change>; 2] {
        let key = ServiceKey::tcp(backend.address, backend.port);
        if self.backends.get(&id) == Some(&key) {
            return [None; 2];
        }
        let left = self.clear_backend(id);
        self.backends.insert(id, key);
        let users = self.users.entry(key).or_default();
        *users += 1;
        [left, (*users == 1).then_some(Change::Backend(key))]
    }

    pub fn clear_backend(&mut self, id: u32) -> Option<Change> {
        let key = self.backends.remove(&id)?;
        let users = self.users.get_mut(&key)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        self.users.remove(&key);
        Some(Change::ForgetBackend(key))
    }

    /// Returns the desired content of the map of addresses.
    pub fn addresses(&self) -> BTreeMap<Address, Guarded> {
        let known = self.ports.keys().chain(self.sources.keys());
        known.map(|address| (*address, self.guarded(*address))).collect()
    }

    /// Returns the desired content of the map of backends.
    pub fn backends(&self) -> BTreeSet<ServiceKey> {
        self.users.keys().copied().collect()
    }

    fn guarded(&self, address: Address) -> Guarded {
        let is_vip = u32::from(self.ports.contains_key(&address));
        match self.sources.get(&address) {
            Some(&(first_port, last_port)) => Guarded { first_port, last_port, is_vip },
            None => Guarded { is_vip, ..Guarded::NOTHING },
        }
    }

    fn change(&self, address: Address, before: Guarded) -> Option<Change> {
        let now = self.guarded(address);
        if now == before {
            return None;
        }
        let is_nothing = now == Guarded::NOTHING;
        Some(if is_nothing {
            Change::ForgetAddress(address)
        } else {
            Change::Address(address, now)
        })
    }
}

#[cfg(test)]
mod tests {
    use lb_common::mapped;

    use super::*;

    const HOST: [u8; 4] = [203, 0, 113, 10];

    fn service(port: u16) -> ServiceKey {
        ServiceKey::tcp(mapped(HOST), port.to_be_bytes())
    }

    fn source(first_port: u16, ports: u16) -> Source {
        Source { address: mapped(HOST), first_port, ports }
    }

    fn backend(last: u8) -> Backend {
        let address = mapped([10, 0, 0, last]);
        Backend { address, port: 80_u16.to_be_bytes(), ..Backend::default() }
    }

    fn key(last: u8) -> ServiceKey {
        ServiceKey::tcp(mapped([10, 0, 0, last]), 80_u16.to_be_bytes())
    }

    #[test]
    fn an_address_is_a_vip_as_long_as_it_has_a_service() {
        let mut index = Index::default();
        let vip = Guarded { is_vip: 1, ..Guarded::NOTHING };
        assert_eq!(index.set_service(&service(80)), Some(Change::Address(mapped(HOST), vip)));
        assert_eq!(index.set_service(&service(80)), None);
        assert_eq!(index.set_service(&service(443)), None);
        assert_eq!(index.remove_service(&service(80)), None);
        let forgotten = index.remove_service(&service(443));
        assert_eq!(forgotten, Some(Change::ForgetAddress(mapped(HOST))));
        assert_eq!(index.remove_service(&service(443)), None);
    }

    #[test]
    fn an_address_may_be_a_vip_and_a_source() {
        let mut index = Index::default();
        index.set_service(&service(80));
        let both = Guarded { first_port: 1_024, last_port: 2_047, is_vip: 1 };
        let change = index.set_source(&source(1_024, 1_024));
        assert_eq!(change, Some(Change::Address(mapped(HOST), both)));
        let source = Guarded { is_vip: 0, ..both };
        let change = index.remove_service(&service(80));
        assert_eq!(change, Some(Change::Address(mapped(HOST), source)));
        assert_eq!(index.addresses(), BTreeMap::from([(mapped(HOST), source)]));
    }

    #[test]
    fn a_range_of_ports_grows_and_does_not_shrink() {
        let mut index = Index::default();
        index.set_source(&source(2_000, 100));
        assert_eq!(index.set_source(&source(2_010, 10)), None);
        let wider = Guarded { first_port: 1_500, last_port: 2_099, is_vip: 0 };
        let change = index.set_source(&source(1_500, 10));
        assert_eq!(change, Some(Change::Address(mapped(HOST), wider)));
        let all = Guarded { first_port: 1_500, last_port: u16::MAX, is_vip: 0 };
        let change = index.set_source(&source(u16::MAX, 1));
        assert_eq!(change, Some(Change::Address(mapped(HOST), all)));
        assert_eq!(index.set_source(&source(1, 0)), None, "no ports");
    }

    #[test]
    fn a_backend_is_known_as_long_as_an_id_has_its_address() {
        let mut index = Index::default();
        assert_eq!(index.set_backend(1, &backend(11)), [None, Some(Change::Backend(key(11)))]);
        assert_eq!(index.set_backend(1, &backend(11)), [None; 2]);
        assert_eq!(index.set_backend(2, &backend(11)), [None; 2]);
        assert_eq!(index.clear_backend(1), None);
        let exchanged = [Change::ForgetBackend(key(11)), Change::Backend(key(12))].map(Some);
        assert_eq!(index.set_backend(2, &backend(12)), exchanged);
        assert_eq!(index.backends(), BTreeSet::from([key(12)]));
        assert_eq!(index.clear_backend(2), Some(Change::ForgetBackend(key(12))));
        assert_eq!(index.clear_backend(2), None);
    }
}
