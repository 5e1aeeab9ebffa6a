//! Validation of the map contents that a previous daemon left. Invalid entries are rebuilt from the
//! desired state.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use imbl::OrdMap;
use lb_common::{
    backend::Backend,
    limits, mapped,
    ring::Ring,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
    unmapped,
};
use lb_model::{Limits, is_of_a_host};

use crate::{
    plan::{Image, ServiceImage, Wanted},
    ring,
};

/// Id of no service, so that the entry differs from any desired one.
const NO_SERVICE: u32 = u32::MAX;

/// Number of faults that are logged one by one.
const TOLD: usize = 20;

/// Map contents as found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub services: Vec<(ServiceKey, Service)>,
    pub backends: OrdMap<u32, Backend>,
    /// The whole map, by index.
    pub sources: Vec<Source>,
}

/// Map contents after validation.
#[derive(Clone, Debug, Default)]
pub struct Adopted {
    /// Contents of the maps, as far as they matter for the next write.
    pub image: Image,
    /// Valid services.
    pub services: OrdMap<ServiceKey, ServiceImage>,
    /// Valid backends.
    pub backends: OrdMap<u32, Backend>,
    /// Descriptions of invalid entries.
    pub faults: Vec<String>,
}

/// Validates maps; `slots` returns the slots of a ring.
#[must_use]
pub fn judged(found: &Found, limits: &Limits, slots: impl Fn(Ring) -> Vec<u32>) -> Adopted {
    let mut adopted = Adopted::default();
    for (id, backend) in &found.backends {
        adopted.take_backend(*id, backend, &found.sources, limits);
    }
    // Sorted, so that the result does not depend on the map's order.
    let services: BTreeMap<_, _> = found.services.iter().copied().collect();
    let mut ids = BTreeSet::new();
    for (key, service) in services {
        adopted.take_service(key, service, limits, &slots, &mut ids);
    }
    adopted.image.backends = found.backends.clone();
    adopted
}

impl Adopted {
    fn take_backend(&mut self, id: u32, backend: &Backend, sources: &[Source], limits: &Limits) {
        if let Some(fault) = backend_fault(backend, limits) {
            self.faults.push(format!("backend {id}: {fault}"));
            return;
        }
        let mut believed = *backend;
        match sources_of(backend, sources) {
            Ok(region) => {
                let places = backend.sources..;
                self.image.sources.extend(places.zip(region.iter().copied()));
            }
            Err(fault) => {
                self.faults.push(format!("backend {id}: {fault}"));
                believed = Backend {
                    hop: lb_common::backend::Hop::default(),
                    sources: 0,
                    source_count: 0,
                    ..believed
                };
            }
        }
        self.backends.insert(id, believed);
    }

    fn take_service(
        &mut self,
        key: ServiceKey,
        service: Service,
        limits: &Limits,
        slots: impl Fn(Ring) -> Vec<u32>,
        ids: &mut BTreeSet<u32>,
    ) {
        let Service { ring, id, scheduler: number, members, retries, group } = service;
        let name = Name(key);
        let scheduler = Scheduler::from_number(number);
        let mut faults: Vec<String> = key_fault(&key).into_iter().collect();
        if id >= limits.services || !ids.insert(id) {
            faults.push(format!("its id is {id}, which is another one's, or nobody's"));
        }
        let is_known = faults.is_empty();
        if scheduler.number() != number {
            faults.push(format!("there is no scheduler {number}"));
        }
        let mut held = Vec::new();
        match ring_fault(ring, limits) {
            Some(fault) => faults.push(fault),
            None => held = slots(ring),
        }
        let is_own = |slot: &u32| {
            self.backends.get(slot).is_some_and(|one| one.service == id && serves(one, &key))
        };
        let own: Vec<u32> = held.iter().copied().filter(is_own).collect();
        if own.len() < held.len() {
            let others = held.len() - own.len();
            faults.push(format!("{others} slots of its ring name no backend of its own"));
        }
        let is_whole = faults.is_empty();
        let (ring, held_id) = if is_whole { (ring, id) } else { (Ring::default(), NO_SERVICE) };
        let image = |id, slots: Vec<u32>| ServiceImage {
            ring,
            region: ring,
            wanted: Wanted {
                id,
                scheduler,
                members,
                retries: retries != 0,
                group,
                slots: slots.into(),
                room: ring.length,
            },
        };
        self.image.services.insert(key, image(held_id, if is_whole { held } else { Vec::new() }));
        if is_known {
            self.services.insert(key, image(id, own));
        }
        self.faults.extend(faults.into_iter().map(|fault| format!("service {name}: {fault}")));
    }

    /// Logs the faults.
    pub fn warn(&self) {
        for fault in self.faults.iter().take(TOLD) {
            log::warn!("the kernel's maps make no sense, and are rebuilt: {fault}");
        }
        if self.faults.len() > TOLD {
            log::warn!("and {} more faults in the kernel's maps", self.faults.len() - TOLD);
        }
    }
}

/// Display form of a service.
struct Name(ServiceKey);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = std::net::Ipv6Addr::from(self.0.address).to_canonical();
        write!(f, "{address} port {}", u16::from_be_bytes(self.0.port))
    }
}

fn key_fault(key: &ServiceKey) -> Option<String> {
    let is_one = *key == ServiceKey::tcp(key.address, key.port) && is_host(key.address, key.port);
    (!is_one).then(|| "no service can have this address, port and protocol".to_owned())
}

/// Returns true if this is a valid host IPv4 address with a nonzero port.
fn is_host(address: [u8; 16], port: [u8; 2]) -> bool {
    let v4 = unmapped(address);
    mapped(v4) == address && is_of_a_host(v4.into()) && port != [0; 2]
}

fn ring_fault(Ring { offset, length }: Ring, limits: &Limits) -> Option<String> {
    let longest = ring::LONGEST.saturating_add(limits.backends);
    let is_within = offset.checked_add(length).is_some_and(|end| end <= limits::RING_SLOTS);
    (!is_within || length > longest)
        .then(|| format!("its ring of {length} slots from {offset} on cannot be"))
}

fn backend_fault(backend: &Backend, limits: &Limits) -> Option<String> {
    if !is_host(backend.address, backend.port) {
        return Some("no server can have this address and port".to_owned());
    }
    if !is_host(backend.vip, backend.vip_port) {
        return Some("no service can have its VIP".to_owned());
    }
    (backend.service >= limits.services)
        .then(|| format!("it is of service {}, which cannot be", backend.service))
}

/// Returns true if a backend's connections are to this VIP.
fn serves(backend: &Backend, vip: &ServiceKey) -> bool {
    (backend.vip, backend.vip_port) == (vip.address, vip.port)
}

/// Returns a backend's sources, if packets can be sent through its next hop with them.
fn sources_of<'a>(backend: &Backend, all: &'a [Source]) -> Result<&'a [Source], String> {
    let Backend { hop, sources: first, source_count: count, .. } = backend;
    let end = first.checked_add(*count).map(|end| end as usize);
    let region = end.and_then(|end| all.get(*first as usize..end));
    let region = region.ok_or_else(|| format!("its {count} sources from {first} on cannot be"))?;
    let ports = region.first().map_or(0, |source| source.ports);
    for source in region {
        let is_range = source.first_port > 0
            && source.ports > 0
            && source.first_port.checked_add(source.ports - 1).is_some();
        let is_usable = is_range && source.ports == ports && is_host(source.address, [1; 2]);
        if !is_usable {
            return Err("a source of its connections has an impossible address or range".to_owned());
        }
    }
    let [first_octet, ..] = hop.macs();
    let is_unicast = first_octet & 1 == 0;
    if hop.ifindex() != 0 && (region.is_empty() || !is_unicast) {
        return Err("its hop cannot be".to_owned());
    }
    Ok(region)
}

#[cfg(test)]
mod tests;
