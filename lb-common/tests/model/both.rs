//! The flow table and a trivially correct map, which do the same.

use std::collections::HashMap;

use lb_common::{
    client_hops::NO_SLOT,
    flow::{Protocol, Shape, State, Tuple, flags_seen, ticks},
    table::{
        self, CHOICES, Entry as _, Opening, Review, Storage as _, Unopened, find, mark_expiring,
        open, open_one_way, peek, remove, replace_closed, set_flags,
    },
};

use super::{
    counting::{Counting, rank},
    support::TestFamily,
};

pub const HALF_OPEN: u16 = 0;
pub const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;
pub const SECOND: u32 = ticks::from_nanos(1_000_000_000);
pub const MINUTE: u32 = 60 * SECOND;

#[derive(Clone, Debug)]
pub enum Op {
    Open { client: u16, port: u16, seen: u16 },
    Find { client: u16 },
    SetFlags { client: u16, set: u16 },
    ReplaceClosed { client: u16 },
    Remove { client: u16 },
    Expire { client: u16, is_revived: bool },
    Wait { seconds: u32 },
}

/// Returns the next operation, on one of this many clients.
pub fn op(random: &mut fastrand::Rng, clients: u16) -> Op {
    const FLAGS_SEEN: [u16; 5] = [
        HALF_OPEN,
        flags_seen::SHAKEN,
        ESTABLISHED,
        ESTABLISHED | flags_seen::CLIENT_FIN,
        ESTABLISHED | flags_seen::CLIENT_RST,
    ];
    let [client, port] = [(); 2].map(|()| random.u16(..clients));
    let seen = FLAGS_SEEN[random.usize(..FLAGS_SEEN.len())];
    match random.u8(..18) {
        0..8 => Op::Open { client, port, seen },
        8..12 => Op::Find { client },
        12..14 => Op::SetFlags { client, set: seen },
        14 => Op::ReplaceClosed { client },
        15 => Op::Remove { client },
        16 => Op::Expire { client, is_revived: random.bool() },
        _ => Op::Wait { seconds: random.u32(..90) },
    }
}

/// A connection that the model knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// None of a flow of one direction.
    port: Option<u16>,
    seen: u16,
    last_seen: u32,
}

/// The table and its model.
pub struct Both<'a, F: TestFamily> {
    pub table: Counting<'a, F>,
    /// Connections by client.
    pub known: HashMap<u16, Known>,
    pub now: u32,
    pub is_crowded: bool,
}

/// Returns the tuple of a client. Neighbours differ in nothing but their protocol.
pub fn inside<F: TestFamily>(client: u16) -> Tuple<F> {
    F::inside(protocol_of(client), [192, 0, 2, 1], (client / 2).to_be_bytes())
}

/// Returns the shape of a client's connections.
const fn shape_of(client: u16) -> Shape {
    if client.is_multiple_of(5) { Shape::OneWay } else { Shape::Paired }
}

const fn protocol_of(client: u16) -> Protocol {
    if client.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp }
}

pub fn outside<F: TestFamily>(protocol: Protocol, port: u16) -> Tuple<F> {
    F::outside(protocol, [10, 0, 0, 1], port.to_be_bytes())
}

impl<F: TestFamily> Both<'_, F> {
    pub fn carry_out(&mut self, op: &Op) {
        let table = self.table;
        match *op {
            Op::Open { client, port, seen } => self.open(client, port, seen),
            Op::Find { client } => {
                let found = find(table, &inside(client)).expect("nobody else is there");
                assert_eq!(found.is_some(), self.known.contains_key(&client));
            }
            Op::SetFlags { client, set } => {
                let Some(known) = self.known.get_mut(&client) else { return };
                let hit = peek(table, &inside(client)).expect("known");
                set_flags(table, hit, set, 0);
                known.seen |= set;
            }
            Op::ReplaceClosed { client } => {
                let Some(known) = self.known.get(&client) else { return };
                let hit = peek(table, &inside(client)).expect("known");
                let is_over = match shape_of(client) {
                    Shape::Paired => flags_seen::is_over(known.seen),
                    Shape::OneWay => flags_seen::is_over_one_way(known.seen),
                };
                assert_eq!(replace_closed(table, hit, false, self.now), Ok(is_over));
                if is_over {
                    self.known.remove(&client);
                }
            }
            Op::Remove { client } => {
                let Some(_) = self.known.remove(&client) else { return };
                let hit = peek(table, &inside(client)).expect("known");
                assert!(remove(table, hit.index, hit.tag, hit.tag.freed(), self.now));
            }
            Op::Expire { client, is_revived } => self.expire(client, is_revived),
            Op::Wait { seconds } => self.now += seconds * SECOND,
        }
    }

    fn open(&mut self, client: u16, port: u16, seen: u16) {
        let before = self.table.evicted.get();
        let inside = &inside(client);
        let now = self.now;
        let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: 0, now };
        let outside = &outside(protocol_of(client), port);
        let held = peek(self.table, &outside.turned()).is_some();
        let (opened, port, seen) = match shape_of(client) {
            Shape::Paired => (open(self.table, &opening, outside), Some(port), seen),
            Shape::OneWay => (open_one_way(self.table, &opening), None, seen | flags_seen::UNSEEN),
        };
        self.forget_evicted(&before, opened.is_ok().then_some(client));
        match opened {
            Ok(_) => {
                assert!(!self.known.contains_key(&client));
                self.known.insert(client, Known { port, seen, last_seen: now });
            }
            Err(Unopened::PortTaken) => assert!(held),
            // A full bucket cannot be evicted from while this very opening holds its first entry.
            Err(Unopened::Busy) => {
                let is_in_its_own_way = self.share_a_bucket(inside, &outside.turned());
                assert!(is_in_its_own_way || self.known.contains_key(&client) || self.is_crowded);
            }
            Err(Unopened::Full) => assert!(self.is_crowded),
        }
    }

    fn share_a_bucket(&self, one: &Tuple<F>, other: &Tuple<F>) -> bool {
        let [ones, others] = [one, other].map(|key| {
            let hash = self.table.seed().hash(key);
            (0..CHOICES).map(move |choice| hash.bucket(choice, self.table.buckets()))
        });
        ones.into_iter().any(|bucket| others.clone().any(|other| bucket == other))
    }

    /// Removes from the model the connections that were evicted, and a client's former connection
    /// if it has a new one. There are as many as were counted, and none that was established and
    /// not idle for a minute.
    fn forget_evicted(&mut self, before: &[u32; 5], newcomer: Option<u16>) {
        if self.table.evicted.get() == *before {
            return;
        }
        let stays =
            |client| newcomer != Some(client) && peek(self.table, &inside(client)).is_some();
        let gone: Vec<_> = self.known.keys().copied().filter(|client| !stays(*client)).collect();
        let mut counts = *before;
        for client in gone {
            let known = self.known.remove(&client).expect("it was there");
            let state = State::of(known.seen);
            counts[rank(state)] += 1;
            let is_silent = self.now - known.last_seen >= MINUTE;
            assert!(state != State::Established || is_silent, "{known:?} at {}", self.now);
        }
        let counted = self.table.evicted.get();
        assert_eq!(counts[..4], counted[..4]);
        // Source ports that rest are counted too, but not in the model.
        assert!(counts[4] <= counted[4]);
    }

    fn expire(&mut self, client: u16, is_revived: bool) {
        if !self.known.contains_key(&client) {
            return;
        }
        let table = self.table;
        let hit = peek(table, &inside(client)).expect("known");
        let partner = table::partner(table, hit);
        assert_eq!(partner.is_some(), shape_of(client) == Shape::Paired);
        if let Some(partner) = partner {
            mark_expiring(partner).expect("nobody else is there");
        }
        let tag = mark_expiring(hit).expect("nobody else is there");
        if is_revived {
            let table::Known { hit: found, pair, .. } =
                find(table, &inside(client)).expect("idle").expect("known");
            assert_eq!((found.tag, pair), (found.entry.tag(), hit.entry.pair()));
        }
        let removed = remove(table, hit.index, tag, tag.freed(), self.now);
        assert_eq!(removed, !is_revived);
        if removed {
            self.known.remove(&client);
        }
    }

    /// Returns the number of entries that the connections have.
    pub fn entries(&self) -> usize {
        let paired = self.known.values().filter(|known| known.port.is_some()).count();
        self.known.len() + paired
    }

    /// Looks all connections up, in both directions.
    pub fn find_all(&self) {
        for (client, known) in &self.known {
            let hit = peek(self.table, &inside(*client)).expect("known");
            let Some(port) = known.port else { continue };
            let reply = peek(self.table, &outside(protocol_of(*client), port).turned());
            assert_eq!(reply.expect("known").entry.pair(), hit.entry.pair());
        }
    }

    /// Lowers the reach of homes, as two sweeps do.
    pub fn sweep(&self) {
        let places = self.table.table.entries().count();
        for _ in 0..2 {
            let mut homes = vec![0; places];
            let mut review = Review::new(self.table, &mut homes);
            for hit in self.table.table.entries() {
                assert!(!review.visit(hit).is_lost);
            }
            assert!(review.finish());
        }
    }

    pub fn check(&self) {
        let mut entries = 0;
        for hit in self.table.table.flows() {
            let flow = hit.snapshot(self.table.table).expect("nobody else is there");
            if hit.tag.flags_seen() & flags_seen::QUARANTINED != 0 {
                continue;
            }
            entries += 1;
            let (pair, protocol) = (flow.flow.pair, hit.tag.protocol());
            let inside = pair.inside(protocol, &F::endpoints());
            let client =
                2 * u16::from_be_bytes(inside.src_port()) + u16::from(protocol == Protocol::Udp);
            assert_eq!(inside, self::inside(client));
            let known = self.known.get(&client).expect("in the model");
            if let Some(port) = known.port {
                assert_eq!(pair.outside(protocol, &F::endpoints()), outside(protocol, port));
            }
            assert_eq!(hit.tag.shape(), shape_of(client));
            assert_eq!(hit.tag.flags_seen() & !flags_seen::TO_CLIENT, known.seen);
        }
        assert_eq!(entries, self.entries());
        let is_active = |known: &&Known| State::of(known.seen) != State::Closed;
        let active = self.known.values().filter(is_active).count();
        assert_eq!(usize::try_from(self.table.active.get()), Ok(active));
    }
}
