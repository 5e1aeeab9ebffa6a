//! The flow table compared with a trivially correct map.

#[path = "support/backends.rs"]
mod backends;
#[path = "support/counting.rs"]
mod counting;
mod support;

use std::collections::HashMap;

use lb_common::{
    client_hops::NO_SLOT,
    flow::{FlowKey, Protocol, Shape, State, Tuple, V4, V6, flags_seen, ticks},
    table::{
        self, CHOICES, Entry as _, Opening, Seed, Storage, Table, Unopened, WAYS, buckets_for,
        find, mark_expiring, open, open_one_way, peek, remove, replace_closed, set_flags,
        track_one_way,
    },
    tcp::{self, Segment},
};
use proptest::prelude::*;

use self::{
    backends::Stored,
    counting::{Counting, Memory, rank},
    support::{PORT, TestFamily, VIP},
};

const HALF_OPEN: u16 = 0;
const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;
const SECOND: u32 = ticks::from_nanos(1_000_000_000);
const MINUTE: u32 = 60 * SECOND;

#[derive(Clone, Debug)]
enum Op {
    Open { client: u16, port: u16, seen: u16 },
    Find { client: u16 },
    SetFlags { client: u16, set: u16 },
    ReplaceClosed { client: u16 },
    Remove { client: u16 },
    Expire { client: u16, is_revived: bool },
    Wait { seconds: u32 },
}

/// Returns the next operation, on one of this many clients.
fn op(random: &mut fastrand::Rng, clients: u16) -> Op {
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
struct Known {
    /// None of a flow of one direction.
    port: Option<u16>,
    seen: u16,
    last_seen: u32,
}

/// The table and its model.
struct Both<'a, F: TestFamily> {
    table: Counting<'a, F>,
    /// Connections by client.
    known: HashMap<u16, Known>,
    now: u32,
    is_crowded: bool,
}

/// Returns the tuple of a client. Neighbours differ in nothing but their protocol.
fn inside<F: TestFamily>(client: u16) -> Tuple<F> {
    F::inside(protocol_of(client), [192, 0, 2, 1], (client / 2).to_be_bytes())
}

/// Returns the shape of a client's connections.
const fn shape_of(client: u16) -> Shape {
    if client.is_multiple_of(5) { Shape::OneWay } else { Shape::Paired }
}

const fn protocol_of(client: u16) -> Protocol {
    if client.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp }
}

fn outside<F: TestFamily>(protocol: Protocol, port: u16) -> Tuple<F> {
    F::outside(protocol, [10, 0, 0, 1], port.to_be_bytes())
}

impl<F: TestFamily> Both<'_, F> {
    fn carry_out(&mut self, op: &Op) {
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

    fn check(&self) {
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
        let paired = self.known.values().filter(|known| known.port.is_some()).count();
        assert_eq!(entries, self.known.len() + paired);
        let is_active = |known: &&Known| State::of(known.seen) != State::Closed;
        let active = self.known.values().filter(is_active).count();
        assert_eq!(usize::try_from(self.table.active.get()), Ok(active));
    }
}

/// Number of operations in a run.
const OPS: u32 = 10_000;

fn run<F: Stored>(buckets: u32, clients: u16, is_crowded: bool, seed: u64) {
    let memory = Memory::<F>::new(buckets, seed);
    let mut both =
        Both { table: memory.table(), known: HashMap::new(), now: 10 * MINUTE, is_crowded };
    let mut random = fastrand::Rng::with_seed(seed);
    for step in 0..OPS {
        both.carry_out(&op(&mut random, clients));
        if step % 64 == 0 {
            both.check();
        }
    }
    both.check();
}

proptest! {
    #[test]
    fn a_crowded_table_does_what_the_model_does(seed: u64) {
        run::<V4>(4, 60, true, seed);
    }

    #[test]
    fn a_crowded_ipv6_table_does_what_the_model_does(seed: u64) {
        run::<V6>(4, 60, true, seed);
    }

    #[test]
    fn a_roomy_table_does_what_the_model_does(seed: u64) {
        run::<V4>(buckets_for(500), 500, false, seed);
    }

    #[test]
    fn a_roomy_ipv6_table_does_what_the_model_does(seed: u64) {
        run::<V6>(buckets_for(500), 500, false, seed);
    }
}

fn connect<T: Table<Family: TestFamily>>(
    table: T,
    number: u32,
    seen: u16,
    now: u32,
) -> Result<(), Unopened> {
    let [a, b, c, d] = number.to_be_bytes();
    let inside = &T::Family::inside(Protocol::Tcp, [198, 18 + a, b, 7], [c, d]);
    let outside = T::Family::outside(Protocol::Tcp, [10, 9, a, b], [c, d]);
    let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: 0, now };
    open(table, &opening, &outside).map(|_| ())
}

#[test]
fn a_table_takes_as_many_connections_as_it_is_made_for() {
    fn fill<F: Stored>(number: u64) {
        const MANY: u32 = 100_000;
        let memory = Memory::<F>::new(buckets_for(MANY), number);
        let table = memory.table();
        for connection in 0..MANY {
            connect(table, connection, ESTABLISHED, MINUTE).expect("room");
        }
        assert_eq!(table.table.flows().count(), 2 * MANY as usize);
    }
    for number in 0..4 {
        fill::<V4>(number);
        fill::<V6>(number);
    }
}

#[test]
fn a_full_table_evicts_who_is_worth_least() {
    let memory = Memory::<V4>::new(1, 3);
    let table = memory.table();
    // Even numbers that are not multiples of five.
    let key = |client: u16| inside::<V4>(10 * client + 2);
    let is_known = |client| peek(table, &key(client)).is_some();
    let open = |client, seen, now| {
        let inside = &key(client);
        let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: 0, now };
        open(table, &opening, &outside(Protocol::Tcp, client)).expect("room");
    };
    let closing = ESTABLISHED | flags_seen::CLIENT_FIN;
    let closed = closing | flags_seen::BACKEND_FIN;
    // Those that fill the rest.
    (8..12).for_each(|client| open(client, ESTABLISHED, 2 * MINUTE));
    // The state is worth more than the idle time.
    open(0, ESTABLISHED, 0);
    open(1, closing, 2 * MINUTE - SECOND / 10);
    open(2, HALF_OPEN, 2 * MINUTE);
    open(3, closed, 2 * MINUTE);

    let mut expected = [0; 5];
    let victims = [State::Closed, State::HalfOpen, State::Closing, State::Established];
    for (victim, state) in (0..4).rev().zip(victims) {
        open(victim + 4, ESTABLISHED, 2 * MINUTE);
        expected[rank(state)] += 1;
        assert!(!is_known(victim), "{state:?} has outlived who is worth more");
        assert_eq!(memory.evicted.get(), expected);
    }
    assert!((4..12).all(is_known));
}

/// It is in use as far as can be seen, but nobody has proven it.
#[test]
fn a_silent_flow_of_one_direction_goes_before_proven_ones() {
    let memory = Memory::<V4>::new(1, 3);
    let table = memory.table();
    let key = FlowKey::tcp([192, 0, 2, 9], [1, 2], VIP, PORT);
    let opening =
        Opening { inside: &key, hop: NO_SLOT, backend: 1, seen: 0, number: 7, now: MINUTE };
    let flow = open_one_way(table, &opening).expect("room");
    let ack = Segment { flags: tcp::ACK, sequence: 8, acknowledgement: 1, payload: 0 };
    track_one_way(table, flow, &ack);
    assert_eq!(peek(table, &key).expect("known").state(), State::Answered);
    assert_eq!(memory.active.get(), 1);
    for number in 0..7 {
        connect(table, number, ESTABLISHED, MINUTE).expect("room");
    }
    assert_eq!(connect(table, 7, ESTABLISHED, MINUTE), Err(Unopened::Full));
    assert!(peek(table, &key).is_some());
    connect(table, 7, ESTABLISHED, 3 * MINUTE).expect("room");
    assert!(peek(table, &key).is_none());
    assert_eq!(memory.evicted.get()[rank(State::Answered)], 1);
    assert_eq!(table.table.flows().count(), 16);
}

#[test]
fn a_flood_of_half_open_connections_displaces_itself_only() {
    const MANY: u32 = 10_000;
    let memory = Memory::<V4>::new(buckets_for(MANY), 9);
    let table = memory.table();
    for connection in 0..MANY {
        connect(table, connection, ESTABLISHED, MINUTE).expect("room");
    }
    let mut refused = 0;
    for attempt in 0..20 * MANY {
        // Twenty times the table's capacity, within ten seconds.
        let now = MINUTE + attempt / (2 * MANY) * SECOND;
        let opened = connect(table, MANY + attempt, HALF_OPEN, now);
        refused += u32::from(opened.is_err());
    }
    let [half_open, rest @ ..] = memory.evicted.get();
    assert_eq!(rest, [0; 4]);
    assert!(half_open > 15 * MANY);
    assert!(refused < 20 * MANY / 1_000, "{refused} attempts were refused");
    let stay = table.table.flows().filter(|hit| hit.state() == State::Established);
    assert_eq!(stay.count(), 2 * MANY as usize);
}

#[test]
fn keys_in_a_row_fall_as_random_ones_do() {
    fn fall<F: TestFamily>(number: u64) {
        const BUCKETS: u32 = 4_096;
        const KEYS: u32 = 64 * BUCKETS;
        let seed = Seed::of_number(number);
        let mut counts = vec![0_u32; BUCKETS as usize];
        for key in 0..KEYS {
            let [a, b, c, d] = key.to_be_bytes();
            let key = F::inside(Protocol::Tcp, [198, 18 + a, b, 7], [c, d]);
            counts[seed.hash(&key).bucket(0, BUCKETS) as usize] += 1;
        }
        let expected = f64::from(KEYS / BUCKETS);
        let off = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let chi_square: f64 = counts.iter().map(off).sum();
        // Six standard deviations at this many degrees of freedom.
        let spread = 6.0 * (2.0 * f64::from(BUCKETS)).sqrt();
        assert!((chi_square - f64::from(BUCKETS)).abs() < spread, "{chi_square}");
    }
    for number in 0..8 {
        fall::<V4>(number);
        fall::<V6>(number);
    }
}

#[test]
fn a_key_has_other_buckets_by_another_seed_and_choice() {
    let key = inside::<V4>(1);
    let [one, other] = [1, 2].map(|number| Seed::of_number(number).hash(&key));
    assert_ne!(one.bucket(0, u32::MAX), other.bucket(0, u32::MAX));
    let choices = (0..CHOICES).map(|choice| one.bucket(choice, 4_096));
    assert!(choices.collect::<std::collections::HashSet<_>>().len() > 1);
    assert!(one.home() < WAYS);
}
