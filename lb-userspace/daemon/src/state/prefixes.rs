//! After each write of any change, every service that took connections before and may take them
//! afterwards takes them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Mutex, PoisonError},
};

use lb_common::{address_filter, backend::Hop, macs, snat::Source};
use lb_config::desired::Document;
use lb_dataplane::{
    MapWriter,
    maps::memory::{Memory, Stored},
};
use lb_health::HealthEvent;
use lb_model::{Admin, Health, Keys, Limits, Policy};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{clock::Span, sync::MapSync};

/// A service of a document: a name, a VIP, a check, and backends by the last byte of their address.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) name: u8,
    pub(super) vip: u8,
    pub(super) check: u8,
    pub(super) scheduler: bool,
    pub(super) backends: BTreeMap<u8, u16>,
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Another document.
    Document(Vec<Draft>),
    /// All checks finish.
    Checked,
    /// The routes to all backends are resolved.
    Resolved,
    /// A server is down from now on, or up.
    Server(u8, bool),
    /// No connection refers to a retired backend.
    Forgotten,
}

pub(super) struct World {
    pub(super) state: State,
    pub(super) document: Document,
    pub(super) sync: MapSync,
    pub(super) writer: MapWriter,
    pub(super) memory: Memory,
    pub(super) down: BTreeSet<u8>,
    /// The first fault that was seen after a write.
    pub(super) seen: Arc<Mutex<Option<String>>>,
}

/// Returns a slot that leads a packet nowhere.
fn fault(maps: &Stored) -> Option<String> {
    for key in maps.services.keys() {
        for id in maps.ring(key) {
            let Some(backend) = maps.backends.get(&id) else {
                return Some(format!("{key:?} names {id}, which is not set"));
            };
            let mut sources = backend.sources..backend.sources + backend.source_count;
            if backend.hop.ifindex() == 0 || !sources.all(|at| maps.sources.contains_key(&at)) {
                return Some(format!("{key:?} names {backend:?}, which has no route"));
            }
        }
    }
    None
}

impl World {
    pub(super) fn new() -> Self {
        let memory = Memory::default();
        let mut writer = MapWriter::new(memory.maps(64));
        writer.set_own_macs(&BTreeSet::from([OWN_MAC])).expect("written");
        Self {
            state: State::new(&Adopted::default(), Memories::new(), &Limits::default()),
            document: Document::default(),
            sync: MapSync::new(&Adopted::default(), Limits::default()),
            writer,
            memory,
            down: BTreeSet::new(),
            seen: Arc::default(),
        }
    }

    pub(super) fn live(&mut self, event: &Event) {
        let next = self.after(event);
        self.write(next);
    }

    /// Returns the state after an event.
    pub(super) fn after(&mut self, event: &Event) -> State {
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
            Event::Forgotten => {
                let later = Instant::now() + std::time::Duration::from_mins(1);
                next.release(&HashSet::new(), later);
            }
        }
        next
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

    /// Writes a state, and checks the maps after every write.
    fn write(&mut self, next: State) {
        self.watch(&next);
        self.sync.commit(&mut self.writer, &self.state.goal(), &next.goal()).expect("written");
        self.state = next;
        self.compare();
    }

    /// Checks the maps after every write of this state or of its reversal.
    pub(super) fn watch(&self, next: &State) {
        let goes_on = self.uninterrupted(next);
        let seen = Arc::clone(&self.seen);
        self.memory.watch(move |maps| {
            let empty = goes_on.iter().find(|key| maps.ring(key).is_empty());
            let empty = empty.map(|key| format!("{key:?} takes no connections"));
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = seen.take().or_else(|| fault(maps)).or(empty);
        });
    }

    /// Returns the services that take connections, and may in this state.
    fn uninterrupted(&self, next: &State) -> Vec<ServiceKey> {
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
        let maps = self.memory.stored();
        let keys = next.services().filter(may_take).map(|one| key(&one.spec));
        keys.filter(|key| !maps.ring(key).is_empty()).collect()
    }

    /// Asserts that the maps match the state, rings have only their service's backends, nothing is
    /// left of removed backends, and no slot led nowhere in between.
    pub(super) fn compare(&self) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(seen, None);
        let (goal, maps) = (self.state.goal(), self.memory.stored());
        assert!(goal.services.keys().eq(maps.services.keys()));
        for (key, wanted) in &goal.services {
            let (ring, service) = (maps.ring(key), maps.services[key]);
            assert_eq!(ring[..], wanted.slots[..]);
            assert_eq!((service.id, service.members), (wanted.id, wanted.members));
            for id in ring {
                let backend = maps.backends[&id];
                assert_eq!(backend.service, wanted.id);
                assert_eq!((backend.vip, backend.vip_port), (key.address, key.port));
            }
        }
        assert!(goal.backends.iter().eq(&maps.backends));
        let named =
            |backend: &lb_common::backend::Backend| ServiceKey::tcp(backend.address, backend.port);
        let guarded: BTreeSet<_> = maps.backends.values().map(named).collect();
        assert!(guarded.iter().eq(maps.guard_backends.keys()));
        let vips = maps.guard_addresses.iter().filter(|(_, guarded)| guarded.is_vip != 0);
        let vips: BTreeSet<_> = vips.map(|(address, _)| *address).collect();
        assert_eq!(vips, maps.services.keys().map(|key| key.address).collect());
        let origin = |address: [u8; 16]| u32::from_ne_bytes(lb_common::unmapped(address));
        let is_reached = |address| {
            let mut its = maps.backends.values().filter(|one| one.address == address);
            its.all(|one| one.hop.ifindex() != 0)
        };
        let reached = maps.backends.values().filter(|one| is_reached(one.address));
        let origins = vips.iter().copied().chain(reached.map(|one| one.address)).map(origin);
        let origins: BTreeSet<_> = origins.collect();
        assert!(origins.iter().eq(maps.origins.keys()), "{origins:?} {:?}", maps.origins);
        let counted = maps.traffic.keys().chain(maps.past_traffic.keys());
        let mut counted = counted.chain(maps.refusals.keys());
        let stale = counted.find(|id| !maps.backends.contains_key(id));
        assert_eq!(stale, None, "counters of a backend that is gone");
        Self::compare_filters(&maps);
    }

    /// The program looks at packets to all VIPs and sources, and from all origins; and it knows the
    /// own MAC addresses.
    fn compare_filters(maps: &Stored) {
        let is_set = |words: &BTreeMap<u32, u64>, (word, bit): (u32, u64)| {
            words.get(&word).is_some_and(|bits| bits & bit != 0)
        };
        let vips = maps.services.keys().map(|key| key.address);
        for address in vips.chain(maps.sources.values().map(|source| source.address)) {
            let place = address_filter::bit_of_mapped(address);
            assert!(is_set(&maps.addresses, place), "packets to {address:?} are not looked at");
        }
        for origin in maps.origins.keys().map(|key| key.to_ne_bytes()) {
            let place = address_filter::bit_of(origin);
            assert!(is_set(&maps.origin_bits, place), "packets from {origin:?} are not checked");
        }
        let own = (0..macs::SLOTS).filter_map(|at| Some((at, maps.own_macs.get(&at)?)));
        let mut expected = macs::Slot::default();
        assert!(expected.add(OWN_MAC));
        assert_eq!(own.collect::<Vec<_>>(), [(macs::slot_of(OWN_MAC), &expected)]);
    }
}

pub(super) const BACKENDS: u8 = 5;

/// The balancer's own.
pub(super) const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

fn route(last: u8) -> (IpAddr, Route) {
    let source = Source { address: [1; 16], first_port: 1_024, ports: 100 };
    let hop = Ok(Hop::new([2, 0, 0, 0, 0, last], [4; 6], 1));
    ([10, 0, 0, last].into(), Route { hop, sources: vec![source], of_groups: Vec::new() })
}

pub(super) fn document(drafts: &[Draft]) -> Document {
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
        lb_config::service(&format!("s{}", draft.name), keys, &Policy::default()).expect("valid")
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
        1 => Just(Event::Forgotten),
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

pub(super) fn draft(name: u8, vip: u8, backends: &[u8]) -> Draft {
    let backends = backends.iter().map(|last| (*last, 1)).collect();
    Draft { name, vip, check: 0, scheduler: false, backends }
}

/// A world of two services, each with the backend of its number, up.
pub(super) fn two() -> World {
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
        world.memory.stored().ring(&key).len()
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
fn a_renamed_service_keeps_its_state() {
    let mut world = two();
    world.state.change_backend("s1", ([10, 0, 0, 1], 80).into(), |backend| {
        backend.held = true;
        backend.warming = Some(Span::begin());
    });
    let before = world.state.service("s1").cloned().expect("there");
    let backends = world.memory.stored().backends.clone();
    let retired = world.state.kernel.retired_expiry().len();
    world.live(&Event::Document(vec![draft(7, 1, &[1]), draft(1, 2, &[2])]));
    let after = world.state.service("s7").expect("there");
    assert_eq!((after.id, &after.backends), (before.id, &before.backends));
    assert_eq!(world.state.kernel.retired_expiry().len(), retired);
    let maps = world.memory.stored();
    assert_eq!(maps.services.len(), 2);
    assert_eq!(maps.backends, backends);
}
