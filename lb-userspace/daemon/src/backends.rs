//! Backends by the ids that they have in the kernel's maps. An id lives as long as connections
//! refer to it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use imbl::{OrdMap, OrdSet};
use lb_common::{
    backend::{Backend, Hop},
    limits, mapped,
    service::ServiceKey,
    snat::Source,
};
use lb_dataplane::{
    Expiry,
    adoption::Adopted,
    arena,
    plan::{Server, server},
};
use lb_model::{Service, Timeouts};

use super::{groups::Groups, ids::Ids, sources::Sources};

/// Clones share common parts.
#[derive(Clone, Debug)]
pub struct Backends {
    ids: Ids,
    groups: Arc<Groups>,
    sources: Sources,
    /// Desired content of the map, by id.
    entries: OrdMap<u32, Backend>,
    /// Backends that no service has any more, but connections may still refer to.
    retired: OrdMap<u32, Retired>,
    /// Ids that a service may take back.
    by_address: OrdMap<Identity, u32>,
}

/// Presence of a backend in its service's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    InRing,
    Away { is_down: bool },
}

/// A backend, and the address and port of the VIP that it serves under an id.
type Identity = (Server, [u8; 16], [u8; 2]);

/// A retired backend whose former service is known.
pub struct Left<'a> {
    pub id: u32,
    pub address: SocketAddr,
    /// Id of the service that takes it back if it has the backend again, if any may.
    pub service: Option<u32>,
    /// The service as it was.
    pub owner: &'a Arc<Service>,
}

#[derive(Clone, Debug, PartialEq)]
struct Retired {
    timeouts: Timeouts,
    /// Its former service, if known.
    owner: Option<Arc<Service>>,
    since: Instant,
}

impl Backends {
    /// Adopts the backends of an earlier daemon; there may be `most`. All count as retired until a
    /// service takes them back.
    #[must_use]
    pub fn adopt(adopted: &Adopted, most: u32) -> Self {
        let first = limits::FIRST_BACKEND;
        let mut backends = Self {
            ids: Ids::new("backend", first, first + most),
            groups: Arc::default(),
            sources: Sources::default(),
            entries: adopted.backends.clone(),
            retired: OrdMap::new(),
            by_address: OrdMap::new(),
        };
        // Of several with one identity, the one in its ring is the service's.
        let mut found: Vec<_> = adopted.backends.iter().collect();
        found.sort_by_key(|(_, backend)| backend.left == 0);
        for (id, backend) in found {
            backends.ids.claim(*id);
            let region = (backend.sources, backend.source_count);
            backends.sources.adopt(region, &adopted.image.sources);
            backends.retire(*id, None, Instant::now());
        }
        // Connections may refer to them: their ids must not be reused in the meantime.
        let unbelieved =
            adopted.image.backends.keys().filter(|id| !adopted.backends.contains_key(*id));
        for id in unbelieved {
            backends.ids.claim(*id);
            let (timeouts, since) = (Timeouts::default(), Instant::now());
            backends.retired.insert(*id, Retired { timeouts, owner: None, since });
        }
        backends
    }

    /// Sets the group of each backend, by the VIP that it serves.
    pub fn group(&mut self, groups: Arc<Groups>) {
        let moved = self.entries.iter().map(|(id, entry)| (*id, groups.of(&entry.vip), *entry));
        let moved: Vec<_> = moved.filter(|(_, group, entry)| entry.group != *group).collect();
        for (id, group, entry) in moved {
            self.entries.insert(id, Backend { group, ..entry });
        }
        self.groups = groups;
    }

    /// Returns the number of a backend's group.
    #[must_use]
    pub fn group_of(&self, id: u32) -> u32 {
        self.entries.get(&id).map_or(0, |entry| entry.group)
    }

    /// Returns the id of a backend of a service with this VIP, and its next hop if known: a retired
    /// backend comes back under the id that it had for the VIP.
    ///
    /// # Errors
    ///
    /// Returns an error if a new id is needed and all are taken.
    pub fn take_id(
        &mut self,
        service: u32,
        vip: &ServiceKey,
        address: SocketAddr,
    ) -> Result<(u32, Option<Hop>)> {
        let server = server_at(service, address);
        let id = match self.by_address.remove(&(server, vip.address, vip.port)) {
            Some(id) => id,
            None => self.new_id(server, vip)?,
        };
        self.retired.remove(&id);
        let hop = self.entries.get(&id).map(|known| known.hop);
        Ok((id, hop.filter(|hop| hop.ifindex() != 0)))
    }

    /// Returns a new id of a backend, with what is known of it under the last one that it had.
    fn new_id(&mut self, server: Server, vip: &ServiceKey) -> Result<u32> {
        let id = self.ids.allocate()?;
        let retired = self.of_server(server).filter_map(|id| Some((self.retired.get(&id)?, id)));
        let last = retired.max_by_key(|(retired, _)| retired.since);
        let last = last.and_then(|(_, id)| self.entries.get(&id)).copied().unwrap_or_default();
        let (service, address, port) = server;
        let group = self.groups.of(&vip.address);
        let (vip, vip_port) = (vip.address, vip.port);
        let backend = Backend { address, port, vip, vip_port, group, service, ..last };
        self.entries.insert(id, backend);
        Ok(id)
    }

    /// Returns the ids that a backend of a service had for other VIPs, and that connections may
    /// still refer to.
    pub fn former_ids(&self, service: u32, address: SocketAddr) -> impl Iterator<Item = u32> {
        self.of_server(server_at(service, address))
    }

    fn of_server(&self, server: Server) -> impl Iterator<Item = u32> {
        let ids = self.by_address.range((server, [0; 16], [0; 2])..);
        ids.take_while(move |((its, ..), _)| *its == server).map(|(_, id)| *id)
    }

    /// Retires a backend that its service no longer has.
    pub fn retire(&mut self, id: u32, owner: Option<&Arc<Service>>, now: Instant) {
        let Some(backend) = self.entries.get(&id) else { return };
        self.by_address.insert(identity(backend), id);
        self.set_presence(id, Presence::Away { is_down: false });
        let timeouts = owner.map_or_else(Timeouts::default, |owner| owner.policy.timeouts);
        self.retired.insert(id, Retired { timeouts, owner: owner.cloned(), since: now });
    }

    /// Retires the backends that a later state has in addition, as connections may refer to them.
    pub fn retire_later(&mut self, later: &Self, services: &HashMap<u32, Arc<Service>>) {
        // Regions are only added.
        self.sources = later.sources.clone();
        for (id, backend) in &later.entries {
            if !self.entries.contains_key(id) {
                self.ids.claim(*id);
                self.entries.insert(*id, *backend);
                self.retire(*id, services.get(&backend.service), Instant::now());
            }
        }
    }

    /// Returns the ids of the services that retired backends are of.
    pub fn retired_services(&self) -> BTreeSet<u32> {
        let entries = self.retired.keys().filter_map(|id| self.entries.get(id));
        entries.map(|entry| entry.service).collect()
    }

    /// Returns which of these service ids a service of the same VIP, or else of the same name, had
    /// last.
    pub fn last_service_of(&self, spec: &Service, ids: &OrdSet<u32>) -> Option<u32> {
        let retired = self.retired.iter().filter_map(|(id, retired)| {
            let (entry, owner) = (self.entries.get(id)?, retired.owner.as_ref()?);
            let is_alike = owner.vip == spec.vip || owner.name == spec.name;
            let rank = (owner.vip == spec.vip, retired.since);
            (is_alike && ids.contains(&entry.service)).then_some((rank, entry.service))
        });
        retired.max().map(|(_, service)| service)
    }

    /// Prevents the retired backends of a service from coming back.
    pub fn disown(&mut self, service: u32) {
        self.by_address = self
            .by_address
            .iter()
            .filter(|(((of, ..), ..), _)| *of != service)
            .map(|(identity, id)| (*identity, *id))
            .collect();
    }

    /// Sets a backend's next hop and the source addresses of its connections, also under ids that
    /// it had before.
    pub fn route(&mut self, id: u32, hop: Hop, list: &[Source]) -> Result<()> {
        let (sources, source_count) = self.sources.region(list)?;
        let Some(backend) = self.entries.get(&id) else { return Ok(()) };
        let former: Vec<u32> = self.of_server(server(backend)).collect();
        for id in former.into_iter().chain([id]) {
            if let Some(backend) = self.entries.get(&id) {
                let routed = Backend { hop, sources, source_count, ..*backend };
                self.entries.insert(id, routed);
            }
        }
        Ok(())
    }

    /// Sets a backend's weight.
    pub fn set_weight(&mut self, id: u32, weight: u16) {
        if let Some(backend) = self.entries.get(&id).filter(|backend| backend.weight != weight) {
            let reweighted = Backend { weight, ..*backend };
            self.entries.insert(id, reweighted);
        }
    }

    /// Sets if a scheduler compares a backend's number of connections with others'.
    pub fn set_compared(&mut self, id: u32, is_compared: bool) {
        let is_compared = is_compared.into();
        let compares = |backend: &&Backend| backend.is_compared != is_compared;
        if let Some(backend) = self.entries.get(&id).filter(compares) {
            self.entries.insert(id, Backend { is_compared, ..*backend });
        }
    }

    /// Sets if a backend takes new connections, or has left its ring, and if so, if it is down.
    pub fn set_presence(&mut self, id: u32, presence: Presence) {
        let Some(backend) = self.entries.get(&id) else { return };
        let (is_away, is_down) = match presence {
            Presence::InRing => (false, false),
            Presence::Away { is_down } => (true, is_down),
        };
        // Keeps the time when it left, or what was seen of it since would be lost.
        let left = if !is_away {
            0
        } else if backend.left != 0 {
            backend.left
        } else {
            lb_dataplane::now().max(1)
        };
        let is_down = is_down.into();
        if (backend.left, backend.is_down) != (left, is_down) {
            self.entries.insert(id, Backend { left, is_down, ..*backend });
        }
    }

    /// Releases backends that no entry of the flow table refers to, given those that any does, as found
    /// by a sweep that began at `begun`, long after their retirement.
    pub fn release(&mut self, referred: &HashSet<u32>, begun: Instant) -> bool {
        let is_gone = |(id, left): &(&u32, &Retired)| {
            begun.saturating_duration_since(left.since) > 2 * arena::GRACE && !referred.contains(id)
        };
        let gone: Vec<u32> = self.retired.iter().filter(is_gone).map(|(id, _)| *id).collect();
        for id in &gone {
            self.retired.remove(id);
            self.ids.free(*id);
            let Some(backend) = self.entries.remove(id) else { continue };
            if self.by_address.get(&identity(&backend)) == Some(id) {
                self.by_address.remove(&identity(&backend));
            }
        }
        !gone.is_empty()
    }

    /// Returns the idle timeouts of connections to retired backends.
    pub fn retired_expiry(&self) -> Expiry {
        let believed = self.retired.iter().filter(|(id, _)| self.entries.contains_key(*id));
        believed.map(|(id, left)| (*id, left.timeouts)).collect()
    }

    /// Returns true if a backend has this address, or a removed one that connections may refer to.
    pub fn has_address(&self, address: SocketAddr) -> bool {
        self.entries.values().any(|entry| address_of(entry) == address)
    }

    /// Returns removed backends that connections may refer to, whose former services are known.
    pub fn retired(&self) -> impl Iterator<Item = Left<'_>> {
        self.retired.iter().filter_map(|(id, retired)| {
            let entry = self.entries.get(id)?;
            let address = address_of(entry);
            let may_come_back = self.by_address.get(&identity(entry)) == Some(id);
            let service = may_come_back.then_some(entry.service);
            Some(Left { id: *id, address, service, owner: retired.owner.as_ref()? })
        })
    }

    #[must_use]
    pub fn entries(&self) -> &OrdMap<u32, Backend> {
        &self.entries
    }

    /// Returns the number of pairs of source address and port that a backend's connections may have.
    #[must_use]
    pub fn source_ports(&self, id: u32) -> u64 {
        let Some(Backend { sources: first, source_count, .. }) = self.entries.get(&id) else {
            return 0;
        };
        let places = self.sources.places().range(*first..first + source_count);
        places.map(|(_, source)| u64::from(source.ports)).sum()
    }

    #[must_use]
    pub fn places(&self) -> &OrdMap<u32, Source> {
        self.sources.places()
    }
}

fn address_of(backend: &Backend) -> SocketAddr {
    let ip = Ipv6Addr::from(backend.address).to_canonical();
    SocketAddr::new(ip, u16::from_be_bytes(backend.port))
}

fn identity(backend: &Backend) -> Identity {
    (server(backend), backend.vip, backend.vip_port)
}

fn server_at(service: u32, address: SocketAddr) -> Server {
    (service, wire_address(address.ip()), address.port().to_be_bytes())
}

/// Returns an address as stored in maps.
#[must_use]
pub fn wire_address(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}
