//! Whatever changes at once: after each single write to the maps every service that took connections
//! before, and may take them afterwards, takes them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    arena::Arena,
    config::{self, Limits},
    control::Keys,
    desired::Document,
    health::HealthEvent,
    model::Policy,
    plan::{Image, Op, plan},
};

/// The maps, written one operation at a time.
#[derive(Clone, Debug, Default)]
struct Maps {
    services: BTreeMap<ServiceKey, lb_common::service::Service>,
    backends: BTreeMap<u32, lb_common::backend::Backend>,
    sources: BTreeMap<u32, Source>,
    slots: BTreeMap<u32, u32>,
}

/// A service of a document: a name, a VIP, a check, and backends by the last byte of their address.
#[derive(Clone, Debug)]
struct Draft {
    name: u8,
    vip: u8,
    check: u8,
    scheduler: bool,
    backends: BTreeMap<u8, u16>,
}

#[derive(Clone, Debug)]
enum Event {
    /// Another document.
    Document(Vec<Draft>),
    /// The checks come to their results.
    Checked,
    /// The routes to all backends are told.
    Resolved,
    /// A server is down from now on, or up.
    Server(u8, bool),
}

struct World {
    state: State,
    document: Document,
    image: Image,
    arena: Arena,
    maps: Maps,
    down: BTreeSet<u8>,
    now: Instant,
}

impl Maps {
    fn write(&mut self, op: &Op) {
        match op {
            Op::SetSource { place, source } => drop(self.sources.insert(*place, *source)),
            Op::SetBackend { id, backend } => drop(self.backends.insert(*id, *backend)),
            Op::WriteSlots { offset, slots } => {
                self.slots.extend((*offset..).zip(slots.iter().copied()));
            }
            Op::SetService { key, service } => drop(self.services.insert(*key, *service)),
            Op::RemoveService { key } => drop(self.services.remove(key)),
            Op::ClearBackend { id } => drop(self.backends.remove(id)),
        }
    }

    /// What a service's slots hold.
    fn ring(&self, key: &ServiceKey) -> Vec<u32> {
        let ring = self.services.get(key).map(|service| service.ring).unwrap_or_default();
        (ring.offset..ring.offset + ring.length).map(|at| self.slots[&at]).collect()
    }

    /// A slot that leads a packet nowhere.
    fn fault(&self) -> Option<String> {
        for key in self.services.keys() {
            for id in self.ring(key) {
                let Some(backend) = self.backends.get(&id) else {
                    return Some(format!("{key:?} names {id}, which is not set"));
                };
                let mut sources = backend.sources..backend.sources + backend.source_count;
                if backend.hop.ifindex() == 0 || !sources.all(|at| self.sources.contains_key(&at)) {
                    return Some(format!("{key:?} names {backend:?}, which has no route"));
                }
            }
        }
        None
    }
}

impl World {
    fn new() -> Self {
        Self {
            state: State::new(&Adopted::default(), Memories::new(), &Limits::default()),
            document: Document::default(),
            image: Image::default(),
            arena: Arena::new(10_000_000),
            maps: Maps::default(),
            down: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    fn live(&mut self, event: &Event) {
        let mut next = self.state.clone();
        match event {
            Event::Document(drafts) => {
                let document = document(drafts);
                next.follow(&document.since(&self.document)).expect("there is room");
                self.document = document;
            }
            Event::Checked => self.check(&mut next),
            Event::Resolved => next.resolve((1..=BACKENDS).map(route).collect()),
            Event::Server(last, true) => drop(self.down.remove(last)),
            Event::Server(last, false) => drop(self.down.insert(*last)),
        }
        self.write(next);
    }

    fn check(&self, next: &mut State) {
        for service in self.state.services() {
            let events = service.targets().into_iter().map(|target| HealthEvent {
                service: target.service,
                address: target.address,
                health: self.health(target.address),
                detail: String::new(),
                is_success: self.health(target.address) == Health::Up,
                was_checked: true,
                at: jiff::Timestamp::now(),
            });
            let events: Vec<_> = events.collect();
            next.change_service(&service.spec.name, |service| service.apply_health(events));
        }
    }

    fn health(&self, address: SocketAddr) -> Health {
        let IpAddr::V4(v4) = address.ip() else { unreachable!("all are") };
        if self.down.contains(&v4.octets()[3]) { Health::Down } else { Health::Up }
    }

    /// Writes what a state wants, and looks at the maps after every operation.
    fn write(&mut self, next: State) {
        self.now += crate::arena::GRACE;
        let (ops, image) =
            plan(&self.image, &next.goal(), &mut self.arena, self.now).expect("there is room");
        let took: Vec<_> =
            self.maps.services.keys().filter(|key| !self.maps.ring(key).is_empty()).collect();
        let may_take = |wanted: &&Service| {
            // Others wait for a backend without a next hop only when they have been replaced by it.
            let former = self.state.service(&wanted.spec.name);
            let is_settled =
                former.is_some_and(|one| one.spec == wanted.spec && one.leaving.is_empty());
            let hopeful = |one: &Backend| {
                let is_reachable = one.next_hop.is_ok() || !is_settled;
                one.spec.admin == Admin::Enabled && one.health != Health::Down && is_reachable
            };
            wanted.backends.iter().any(hopeful)
        };
        let goes_on: Vec<_> = next.services().filter(may_take).map(|one| key(&one.spec)).collect();
        let goes_on: Vec<_> = goes_on.into_iter().filter(|key| took.contains(&key)).collect();
        for op in &ops {
            self.maps.write(op);
            assert_eq!(self.maps.fault(), None, "after {op:?} of {ops:?}");
            for key in &goes_on {
                assert!(!self.maps.ring(key).is_empty(), "{key:?} after {op:?} of {ops:?}");
            }
        }
        for key in &goes_on {
            assert!(!self.maps.ring(key).is_empty(), "{key:?} after all of {ops:?}");
        }
        (self.image, self.state) = (image, next);
        self.compare();
    }

    /// The maps hold what the image says, and rings only backends of their own.
    fn compare(&self) {
        let keys: Vec<_> = self.image.services.keys().collect();
        assert_eq!(keys, self.maps.services.keys().collect::<Vec<_>>());
        for (key, service) in &self.image.services {
            let ring = self.maps.ring(key);
            assert_eq!(ring[..], service.wanted.slots[..]);
            for id in ring {
                assert_eq!(self.maps.backends[&id].service, service.wanted.id);
            }
        }
        let backends: BTreeMap<_, _> =
            self.image.backends.iter().map(|(id, backend)| (*id, *backend)).collect();
        assert_eq!(backends, self.maps.backends);
    }
}

const BACKENDS: u8 = 5;

fn route(last: u8) -> (IpAddr, Route) {
    let source = Source { address: [1; 16], first_port: 1_024, ports: 100 };
    let hop = Ok(Hop::new([2, 0, 0, 0, 0, last], [4; 6], 1));
    ([10, 0, 0, last].into(), Route { hop, sources: vec![source] })
}

fn document(drafts: &[Draft]) -> Document {
    let checks = [json!({ "type": "tcp" }), json!({ "type": "tls" }), json!({ "type": "none" })];
    let spec = |draft: &Draft| {
        let backend = |(last, weight): (&u8, &u16)| json!({ "address": format!("10.0.0.{last}:80"), "weight": weight });
        let keys = json!({
            "vip": format!("203.0.113.{}:80", draft.vip),
            "health": checks[usize::from(draft.check)],
            "scheduler": if draft.scheduler { "random" } else { "round-robin" },
            "backend": draft.backends.iter().map(backend).collect::<Vec<_>>(),
        });
        let keys: &Keys = keys.as_object().expect("an object");
        config::service(&format!("s{}", draft.name), keys, &Policy::default()).expect("valid")
    };
    Document::of(drafts.iter().map(spec))
}

/// Services that have different names and different VIPs.
fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let names = Just(vec![1, 2, 3, 4]).prop_shuffle();
    let vips = Just(vec![1, 2, 3, 4]).prop_shuffle();
    let backends = prop::collection::btree_map(1..=BACKENDS, 1u16..4, 0..4);
    let rest = prop::collection::vec((0u8..3, any::<bool>(), backends), 0..4);
    (names, vips, rest).prop_map(|(names, vips, rest)| {
        let all = names.into_iter().zip(vips).zip(rest);
        all.map(|((name, vip), (check, scheduler, backends))| Draft {
            name,
            vip,
            check,
            scheduler,
            backends,
        })
        .collect()
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => drafts().prop_map(Event::Document),
        2 => Just(Event::Checked),
        2 => Just(Event::Resolved),
        1 => (1..=BACKENDS, any::<bool>()).prop_map(|(last, is_up)| Event::Server(last, is_up)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_write_takes_a_service_off_that_goes_on(events in prop::collection::vec(event(), 1..12)) {
        let mut world = World::new();
        for event in &events {
            world.live(event);
        }
    }
}

fn draft(name: u8, vip: u8, backends: &[u8]) -> Draft {
    let backends = backends.iter().map(|last| (*last, 1)).collect();
    Draft { name, vip, check: 0, scheduler: false, backends }
}

/// A world of two services, each with the backend of its number, up.
fn two() -> World {
    let mut world = World::new();
    world.live(&Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[2])]));
    world.live(&Event::Resolved);
    world.live(&Event::Checked);
    world
}

#[test]
fn services_exchange_their_backends_without_a_gap() {
    let mut world = two();
    world.live(&Event::Document(vec![draft(1, 1, &[2]), draft(2, 2, &[1])]));
    for service in world.state.services() {
        assert_eq!(service.backends[0].health, Health::Up, "its check goes on");
        assert!(service.leaving.is_empty());
    }
}

#[test]
fn backends_that_are_replaced_stay_until_the_others_have_been_checked() {
    let mut world = two();
    world.down.insert(4);
    world.live(&Event::Document(vec![draft(1, 1, &[3]), draft(2, 2, &[4])]));
    let leaving = |world: &World| -> Vec<usize> {
        world.state.services().map(|service| service.leaving.len()).collect()
    };
    assert_eq!(leaving(&world), [1, 1]);
    world.live(&Event::Resolved);
    assert_eq!(leaving(&world), [1, 1]);
    world.live(&Event::Checked);
    assert_eq!(leaving(&world), [0, 0], "one is up, and the other will not be");
    let ring = |vip| {
        let key = ServiceKey::tcp(wire_address([203, 0, 113, vip].into()), [0, 80]);
        world.maps.ring(&key).len()
    };
    assert_eq!([ring(1), ring(2)], [1, 0]);
}

#[test]
fn backends_that_are_replaced_do_not_stay_for_long() {
    let mut world = two();
    world.live(&Event::Document(vec![draft(1, 1, &[3])]));
    let mut next = world.state.clone();
    let later = Instant::now() + std::time::Duration::from_mins(1);
    next.change_service("s1", |service| {
        assert_eq!(service.let_go(later).len(), 1);
        false
    });
}

#[test]
fn a_renamed_service_stays_what_it_was() {
    let mut world = two();
    world.state.change_backend("s1", ([10, 0, 0, 1], 80).into(), |backend| {
        backend.held = true;
        backend.warming = Some(Span::begin());
    });
    let before = world.state.service("s1").cloned().expect("there");
    let (maps, retired) = (world.maps.clone(), world.state.kernel.retired_expiry().len());
    world.live(&Event::Document(vec![draft(7, 1, &[1]), draft(1, 2, &[2])]));
    let after = world.state.service("s7").expect("there");
    assert_eq!((after.id, &after.backends), (before.id, &before.backends));
    assert_eq!(world.state.kernel.retired_expiry().len(), retired);
    assert_eq!(world.maps.services.len(), 2);
    assert_eq!(world.maps.backends, maps.backends);
}
