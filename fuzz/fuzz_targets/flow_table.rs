//! The flow table under any sequence of operations: pairs stay pairs, no tuple is there twice,
//! counts are right, and established connections that are not idle are never displaced.

#![no_main]

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use lb_common::{
    backend::Backend,
    client_hops::NO_SLOT,
    flow::{Direction, Endpoints, FlowKey, State, V4, flags_seen, ticks},
    mapped,
    table::{
        Direct, Entry as _, Found, Opening, Seed, SharedBackend, SharedBucket, SharedTable,
        Storage, find, mark_expiring, open, partner, peek, refuse, remove, replace_closed, track,
    },
    tcp::Segment,
};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};

const SECOND: u32 = ticks::from_nanos(1_000_000_000);

/// Ticks for which an established connection stays at least, however full the table is.
const SAFE: u32 = 60 * SECOND;

#[derive(Arbitrary, Debug)]
struct Run {
    /// Number of buckets, as a power of two.
    size: u8,
    seed: u8,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Open { client: u8, port: u8, number: u32, refusals: u8 },
    Segment { client: u8, from_backend: bool, flags: u8, sequence: u32, received: u32, payload: u8 },
    Replace { client: u8, is_abandoned: bool },
    Refuse { client: u8 },
    Expire { client: u8 },
    Find { client: u8 },
    Remove { client: u8, by_reply: bool },
    Wait { seconds: u8 },
}

/// A table that counts active connections.
#[derive(Clone, Copy)]
struct Counting<'a> {
    table: SharedTable<'a>,
    active: &'a Cell<i64>,
}

impl Direct for Counting<'_> {}

impl<'a> Storage for Counting<'a> {
    type Family = V4;
    type Bucket = &'a SharedBucket;
    type Backend = Endpoints;

    fn seed(self) -> Seed {
        self.table.seed
    }

    fn buckets(self) -> u32 {
        self.table.buckets()
    }

    fn bucket(self, index: u32) -> Option<Self::Bucket> {
        self.table.bucket(index)
    }

    fn backend(self, id: u32) -> Option<Endpoints> {
        self.table.backend(id)
    }

    fn evicted(self, _state: State) {}

    fn add_active(self, _backend: u32, change: i64) {
        self.active.set(self.active.get() + change);
    }
}

fn inside(client: u8) -> FlowKey {
    FlowKey::tcp([192, 0, 2, client], [4, 0], [203, 0, 113, 10], [0, 80])
}

fn outside(port: u8) -> FlowKey {
    FlowKey::tcp([10, 0, 0, 1], [4, port], [10, 0, 0, 11], [0, 80])
}

struct World<'a> {
    table: Counting<'a>,
    now: u32,
    /// Clients whose connection only an operation on it may end now.
    safe: RefCell<HashSet<FlowKey>>,
}

impl<'a> World<'a> {
    fn hit(&self, client: u8) -> Option<Found<Counting<'a>>> {
        peek(self.table, &inside(client))
    }

    fn carry_out(&mut self, op: &Op) {
        self.note_safe();
        match *op {
            Op::Open { client, port, number, refusals } => {
                self.open(client, port, number, refusals);
            }
            Op::Segment { client, from_backend, flags, sequence, received, payload } => {
                let acknowledgement = received.wrapping_add(1);
                let payload = payload.into();
                let segment = Segment { flags, sequence, acknowledgement, payload };
                self.segment(client, from_backend, &segment);
            }
            Op::Replace { client, is_abandoned } => self.replace(client, is_abandoned),
            Op::Refuse { client } => {
                let Some(hit) = self.hit(client) else { return };
                refuse(self.table, hit);
            }
            Op::Expire { client } => {
                let Some(hit) = self.hit(client) else { return };
                let partner = peek(self.table, &hit.partner_key(self.table)).expect("a pair");
                mark_expiring(partner).expect("nobody else is there");
                mark_expiring(hit).expect("nobody else is there");
            }
            Op::Find { client } => {
                let known = self.hit(client).is_some();
                let found = find(self.table, &inside(client)).expect("nobody else is there");
                assert_eq!(found.is_some(), known, "find and peek");
                assert!(
                    found.is_none_or(|known| !known.hit.tag.is_expiring()),
                    "expiring, and found"
                );
            }
            Op::Remove { client, by_reply } => self.remove(client, by_reply),
            Op::Wait { seconds } => self.now += u32::from(seconds) * SECOND,
        }
    }

    /// As the program, which looks the tuple up first.
    fn open(&self, client: u8, port: u8, number: u32, refusals: u8) {
        if self.hit(client).is_some() {
            return;
        }
        let inside = &inside(client);
        let now = self.now;
        let refused = (0..refusals % 4).fold(0, |seen, id| flags_seen::refused_by(seen, id.into()));
        let seen = refused;
        let opening = Opening { inside, hop: NO_SLOT, backend: 0, seen, number, now };
        let opened = open(self.table, &opening, &outside(port)).is_ok();
        if opened {
            let found = find(self.table, inside).expect("nobody else is there").expect("opened");
            assert_eq!(found.hit.partner_key(self.table), outside(port).turned());
        }
    }

    fn segment(&self, client: u8, from_backend: bool, segment: &Segment) {
        let Some(hit) = self.hit(client) else { return };
        let reply = partner(self.table, hit).expect("a pair");
        let flow = if from_backend { reply } else { hit };
        self.safe.borrow_mut().remove(&inside(client));
        let seen = track(self.table, flow, segment).expect("no other thread writes an entry");
        let found = self.hit(client).expect("a segment removes nothing");
        assert_eq!(
            seen & !flags_seen::TO_CLIENT,
            found.tag.flags_seen(),
            "what is told is what is kept"
        );
        flow.entry.set_last_seen(self.now);
    }

    /// Handles a SYN on a known tuple.
    fn replace(&self, client: u8, is_abandoned: bool) {
        let Some(hit) = self.hit(client) else { return };
        let seen = hit.tag.flags_seen();
        let is_over = flags_seen::is_over(seen) || seen & flags_seen::REFUSED != 0;
        let gone =
            replace_closed(self.table, hit, is_abandoned, self.now).expect("nobody else is there");
        assert_eq!(gone, is_over || is_abandoned, "makes way");
        assert_eq!(gone, self.hit(client).is_none());
        if gone {
            self.safe.borrow_mut().remove(&inside(client));
        }
    }

    fn remove(&self, client: u8, by_reply: bool) {
        let Some(hit) = self.hit(client) else { return };
        let other = peek(self.table, &hit.partner_key(self.table)).expect("a pair");
        let chosen = if by_reply { other } else { hit };
        self.safe.borrow_mut().remove(&inside(client));
        assert!(remove(self.table, chosen.index, chosen.tag, chosen.tag.freed(), self.now));
        assert!(self.hit(client).is_none());
    }

    fn note_safe(&self) {
        let mut safe = self.safe.borrow_mut();
        safe.clear();
        for hit in self.table.table.flows() {
            let is_heard_of = ticks::between(hit.entry.last_seen(), self.now) < SAFE;
            let is_theirs = hit.direction() == Direction::ToBackend;
            if is_theirs && is_heard_of && hit.state() == State::Established {
                safe.insert(hit.key(self.table));
            }
        }
    }

    fn check(&self) {
        let mut keys = HashSet::new();
        let mut active = 0;
        for hit in self.table.table.flows() {
            let flow = hit.snapshot(self.table.table).expect("nobody else is there");
            assert!(keys.insert(flow.key), "there twice: {:?}", flow.key);
            if hit.tag.flags_seen() & flags_seen::QUARANTINED != 0 {
                continue;
            }
            let partner = peek(self.table, &flow.partner()).expect("half a pair");
            assert_eq!(partner.partner_key(self.table), flow.key);
            let both = [hit.tag, partner.tag].map(|tag| tag.flags_seen() & !flags_seen::TO_CLIENT);
            assert_eq!(both[0], both[1], "two opinions");
            let is_active = hit.state() != State::Closed;
            active += i64::from(is_active && hit.direction() == Direction::ToBackend);
        }
        assert_eq!(self.table.active.get(), active);
        for key in self.safe.borrow().iter() {
            assert!(keys.contains(key), "an established connection is gone");
        }
    }
}

fuzz_target!(|run: Run| {
    let buckets: Vec<_> = (0..1 << (run.size % 4)).map(|_| SharedBucket::default()).collect();
    let active = Cell::new(0);
    let backends = [SharedBackend::new(&Backend {
        address: mapped([10, 0, 0, 11]),
        port: [0, 80],
        vip: mapped([203, 0, 113, 10]),
        vip_port: [0, 80],
        ..Backend::default()
    })];
    let table = SharedTable {
        buckets: &buckets,
        backends: &backends,
        seed: Seed::of_number(run.seed.into()),
    };
    let table = Counting { table, active: &active };
    let mut world = World { table, now: 1 << 20, safe: RefCell::default() };
    for op in &run.ops {
        world.carry_out(op);
        world.check();
    }
});
