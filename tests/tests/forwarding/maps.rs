//! The contents of the kernel's maps, read from the daemon's pins.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv6Addr, SocketAddr},
};

use aya::maps::{Array, Map, MapData};
use lb_common::{
    LAYOUT,
    backend::Backend,
    ring::{Ring, SLOTS, Slots},
    service::Service,
};
use lb_dataplane::{ServiceTable, maps::Table as _};
use lb_testbed::Testbed;

/// Backends of a service, by VIP, with their shares.
pub type Rings = BTreeMap<SocketAddr, BTreeSet<(SocketAddr, u16)>>;

/// The daemon's pinned maps.
pub struct Maps {
    services: ServiceTable,
    backends: Array<MapData, Backend>,
    rings: Array<MapData, Slots>,
}

impl Maps {
    pub fn open(testbed: &Testbed) -> Self {
        let pin = |name| MapData::from_pin(testbed.bpffs().join(format!("xdplb/v{LAYOUT}/{name}")));
        let open = |name| pin(name).expect("pinned");
        Self {
            services: ServiceTable::of_maps(&open("SERVICE_INDEX"), &open("SERVICES"))
                .expect("mapped"),
            backends: Map::Array(open("BACKENDS")).try_into().expect("its shape"),
            rings: Map::Array(open("RINGS")).try_into().expect("its shape"),
        }
    }

    fn slot(&self, place: u32) -> u32 {
        let slots = self.rings.get(&(place / SLOTS), 0).expect("within the map");
        slots[(place % SLOTS) as usize]
    }

    fn backend(&self, id: u32) -> Backend {
        self.backends.get(&id, 0).expect("within the map")
    }

    fn slots(&self, ring: Ring) -> impl Iterator<Item = (u32, u32)> {
        (ring.offset..ring.offset + ring.length).map(|place| (place, self.slot(place)))
    }

    /// Returns a slot that a packet could have found to name no backend, if there is one.
    pub fn fault(&self) -> Option<String> {
        for (key, service) in self.services.entries().expect("read") {
            for (place, id) in self.slots(service.ring) {
                let is_set = self.backend(id) != Backend::default();
                let still = self.services.get(&key) == Some(service);
                if !is_set && still && self.slot(place) == id {
                    return Some(format!("slot {place} of {service:?} names {id}"));
                }
            }
        }
        None
    }

    /// Returns the number of ids that backends have.
    pub fn backends_set(&self) -> usize {
        self.backends
            .iter()
            .filter(|one| matches!(one, Ok(one) if *one != Backend::default()))
            .count()
    }

    pub fn contents(&self) -> Rings {
        let services = self.services.entries().expect("read").into_iter();
        let ring_of = |service: Service| {
            let backends = self.slots(service.ring).map(|(_, id)| self.backend(id));
            shares(backends.map(|one| (address(one.address, one.port), one.weight)))
        };
        services.map(|(key, service)| (address(key.address, key.port), ring_of(service))).collect()
    }
}

/// Reduces weights to lowest terms, as a service's own may be multiples of its operator's.
pub fn shares(backends: impl Iterator<Item = (SocketAddr, u16)>) -> BTreeSet<(SocketAddr, u16)> {
    let backends: BTreeSet<_> = backends.collect();
    let common = backends.iter().fold(0, |common, (_, weight)| gcd(common, *weight)).max(1);
    backends.into_iter().map(|(address, weight)| (address, weight / common)).collect()
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn address(mapped: [u8; 16], port: [u8; 2]) -> SocketAddr {
    (Ipv6Addr::from(mapped).to_canonical(), u16::from_be_bytes(port)).into()
}
