//! Adopts maps of arbitrary content: the adopted state is consistent, and the writes that follow
//! bring the maps to the wanted state, whatever they held.

#![no_main]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    time::Instant,
};

use imbl::OrdMap;
use lb_common::{
    backend::{Backend, Hop},
    limits, mapped,
    ring::Ring,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
};
use lb_dataplane::{
    adoption::{Adopted, Found, judged},
    plan::{Goal, Image, Op, Plan, Wanted, plan},
};
use lb_model::Limits;
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};

const LIMITS: Limits =
    Limits { flows: 1, services: 8, backends: 256, resets: 1, accounting: false };

#[derive(Arbitrary, Debug)]
struct Input {
    services: Vec<FoundService>,
    backends: Vec<FoundBackend>,
    sources: Vec<FoundSource>,
    /// Contents of the arena's first slots.
    slots: Vec<u8>,
    wanted: Vec<WantedService>,
}

/// An entry of a map.
#[derive(Arbitrary, Debug)]
struct FoundService {
    key: u8,
    /// Offset of a byte of the key, and its replacement.
    damage: Option<(u8, u8)>,
    offset: u32,
    length: u32,
    id: u32,
    scheduler: u32,
    members: u32,
    retries: u16,
    group: u16,
}

#[derive(Arbitrary, Debug)]
struct FoundBackend {
    id: u8,
    address: u8,
    damage: Option<(u8, u8)>,
    service: u32,
    mac: u8,
    ifindex: u32,
    sources: u32,
    source_count: u32,
    left: u32,
}

#[derive(Arbitrary, Debug)]
struct FoundSource {
    address: u8,
    damage: Option<(u8, u8)>,
    first_port: u16,
    ports: u16,
}

#[derive(Arbitrary, Debug)]
struct WantedService {
    key: u8,
    id: u32,
    scheduler: u32,
    members: u32,
    retries: bool,
    group: u16,
    slots: Vec<u8>,
}

fn address(network: [u8; 3], last: u8, damage: Option<(u8, u8)>) -> [u8; 16] {
    let [a, b, c] = network;
    let mut address = mapped([a, b, c, last]);
    if let Some((place, byte)) = damage {
        address[usize::from(place % 16)] = byte;
    }
    address
}

fn key(last: u8, damage: Option<(u8, u8)>) -> ServiceKey {
    ServiceKey::tcp(address([203, 0, 113], last, damage), [0, 80])
}

impl Input {
    fn found(&self) -> Found {
        let services = self.services.iter().map(|one| {
            let FoundService { offset, length, id, scheduler, members, retries, group, .. } = *one;
            let ring = Ring { offset, length };
            (key(one.key, one.damage), Service { ring, id, scheduler, members, retries, group })
        });
        // Keys in a map are unique.
        let services: BTreeMap<_, _> = services.collect();
        let backends = self.backends.iter().map(|one| {
            let vip = self.vip_of(one);
            let backend = Backend {
                hop: Hop::new([one.mac; 6], [4; 6], one.ifindex),
                address: address([10, 0, 0], one.address, one.damage),
                port: [0, 80],
                vip: vip.address,
                vip_port: vip.port,
                weight: 1,
                service: one.service,
                sources: one.sources,
                source_count: one.source_count,
                left: one.left,
                ..Backend::default()
            };
            (u32::from(one.id).max(limits::FIRST_BACKEND), backend)
        });
        let sources = self.sources.iter().map(|one| Source {
            address: address([10, 0, 1], one.address, one.damage),
            first_port: one.first_port,
            ports: one.ports,
        });
        Found {
            services: services.into_iter().collect(),
            backends: backends.collect(),
            sources: sources.collect(),
        }
    }

    /// Returns the VIP of a backend: that of its service, or another one.
    fn vip_of(&self, backend: &FoundBackend) -> ServiceKey {
        let service = self.services.iter().find(|service| service.id == backend.service);
        service.map_or(key(backend.address, backend.damage), |service| key(service.key, None))
    }

    fn slots(&self, ring: Ring) -> Vec<u32> {
        let slot = |place: u32| self.slots.get(place as usize).copied().unwrap_or_default();
        places(ring).expect("within the arena").map(|place| slot(place).into()).collect()
    }

    fn goal(&self) -> Goal {
        let services = self.wanted.iter().map(|one| {
            let slots: Vec<_> = one.slots.iter().map(|slot| u32::from(*slot) + 1).collect();
            let scheduler = Scheduler::from_number(one.scheduler);
            let WantedService { members, retries, group, .. } = *one;
            // Entries that are not adopted have an id that is never wanted.
            let id = one.id % LIMITS.services;
            (
                key(one.key, None),
                Wanted { id, scheduler, members, retries, group, slots: slots.into(), room: 0 },
            )
        });
        let backend = Backend { weight: 1, ..Backend::default() };
        let backends = (1..=256_u32).map(|id| (id, backend));
        let source = Source { address: mapped([10, 0, 1, 1]), first_port: 1_024, ports: 9 };
        Goal {
            services: services.collect(),
            backends: backends.collect(),
            sources: (0..3_u32).map(|place| (place, source)).collect(),
        }
    }
}

/// Returns the arena slots of a ring, or `None` if it exceeds the arena.
fn places(ring: Ring) -> Option<Range<u32>> {
    let end = ring.offset.checked_add(ring.length)?;
    (end <= limits::RING_SLOTS).then_some(ring.offset..end)
}

/// Returns true if all rings lie in the arena, and none overlap.
fn is_sound(rings: impl Iterator<Item = Ring>) -> bool {
    let mut taken = BTreeMap::new();
    for ring in rings.filter(|ring| ring.length > 0) {
        let Some(places) = places(ring) else { return false };
        if taken.insert(places.start, places.end).is_some() {
            return false;
        }
    }
    taken.values().zip(taken.keys().skip(1)).all(|(end, start)| end <= start)
}

/// The maps, changed by the planned operations.
struct Maps {
    slots: HashMap<u32, u32>,
    services: HashMap<ServiceKey, Service>,
    backends: HashMap<u32, Backend>,
    sources: HashMap<u32, Source>,
}

impl Maps {
    fn of(input: &Input, found: &Found) -> Self {
        let slots = input.slots.iter().map(|slot| u32::from(*slot));
        Self {
            slots: (0..).zip(slots).collect(),
            services: found.services.iter().copied().collect(),
            backends: found.backends.iter().map(|(id, one)| (*id, *one)).collect(),
            sources: (0..).zip(found.sources.iter().copied()).collect(),
        }
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::SetSource { place, source } => drop(self.sources.insert(*place, *source)),
            Op::SetBackend { id, backend } => drop(self.backends.insert(*id, *backend)),
            Op::WriteSlots { offset, slots } => {
                self.slots.extend((*offset..).zip(slots.iter().copied()));
            }
            Op::SetService { key, service } => drop(self.services.insert(*key, *service)),
            Op::RemoveService { key } => drop(self.services.remove(key)),
            Op::PassTraffic { .. } | Op::KeepTraffic { .. } | Op::ClearKept { .. } => {}
            Op::ClearBackend { id } => drop(self.backends.remove(id)),
        }
    }

    fn slot(&self, place: u32) -> u32 {
        self.slots.get(&place).copied().unwrap_or_default()
    }

    /// Fails unless the maps are as wanted, and at the places in the image.
    fn check(&self, goal: &Goal, image: &Image) {
        assert!(is_sound(image.services.values().map(|service| service.ring)), "rings overlap");
        assert!(image.services.keys().eq(goal.services.keys()));
        assert_eq!(self.services.len(), goal.services.len(), "a service is left");
        for (key, wanted) in &goal.services {
            let service = self.services[key];
            let held = (service.ring, service.id, service.scheduler, service.members);
            let ring = image.services[key].ring;
            assert_eq!(held, (ring, wanted.id, wanted.scheduler.number(), wanted.members));
            assert_eq!(service.retries != 0, wanted.retries);
            let slots = places(ring).expect("within the arena").map(|place| self.slot(place));
            assert!(slots.eq(wanted.slots.iter().copied()), "a ring is not what is wanted");
        }
        let backends: OrdMap<_, _> = self.backends.iter().map(|(id, one)| (*id, *one)).collect();
        assert_eq!(backends, goal.backends);
        assert!(goal.sources.iter().all(|(place, one)| self.sources.get(place) == Some(one)));
    }
}

/// Fails if the adopted state refers to anything that does not exist.
fn assert_believable(adopted: &Adopted) {
    let mut ids = HashSet::new();
    for (key, service) in &adopted.services {
        let id = service.wanted.id;
        assert!(id < LIMITS.services && ids.insert(id), "an id of nobody, or of another");
        let is_own = |slot| {
            adopted.backends.get(slot).is_some_and(|one| {
                one.service == id && (one.vip, one.vip_port) == (key.address, key.port)
            })
        };
        assert!(service.wanted.slots.iter().all(is_own), "a slot names no backend of its own");
    }
    for backend in adopted.backends.values() {
        assert!(backend.service < LIMITS.services);
        let mut places = (backend.sources..).take(backend.source_count as usize);
        let usable = |place| adopted.image.sources.get(&place).is_some_and(|one| one.ports > 0);
        assert!(places.all(usable), "a source that is none");
    }
}

/// Returns a goal that keeps everything adopted.
fn kept(adopted: &Adopted) -> Goal {
    Goal {
        services: adopted.services.iter().map(|(key, one)| (*key, one.wanted.clone())).collect(),
        backends: adopted.backends.clone(),
        sources: adopted.image.sources.clone(),
    }
}

fuzz_target!(|input: Input| {
    let found = input.found();
    let adopted = judged(&found, &LIMITS, |ring| input.slots(ring));
    assert_believable(&adopted);
    for goal in [kept(&adopted), input.goal()] {
        let mut arena = adopted.image.arena();
        let planned = plan(&adopted.image, &goal, &Goal::default(), &mut arena, Instant::now());
        let Plan { ops, image, .. } = planned.expect("there is room");
        let mut maps = Maps::of(&input, &found);
        for op in &ops {
            maps.carry_out(op);
        }
        maps.check(&goal, &image);
    }
});
