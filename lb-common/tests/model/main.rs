//! The flow table compared with a trivially correct map.

#[path = "../support/backends.rs"]
mod backends;
mod both;
#[path = "../support/counting.rs"]
mod counting;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;

use lb_common::{
    client_hops::NO_SLOT,
    flow::{FlowKey, Protocol, State, V4, V6, flags_seen},
    table::{
        CHOICES, Opening, Seed, Table, Unopened, WAYS, buckets_for, open, open_one_way, peek,
        track_one_way,
    },
    tcp::{self, Segment},
};
use proptest::prelude::*;

use self::{
    backends::Stored,
    both::{Both, ESTABLISHED, HALF_OPEN, MINUTE, Op, SECOND, inside, op, outside},
    counting::{Memory, rank},
    support::{PORT, TestFamily, VIP},
};

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

/// As [`run`], on a table that is refilled whenever less than 95 % of its entries are in use.
fn run_nearly_full<F: Stored>(seed: u64) {
    const BUCKETS: u32 = 16;
    const CLIENTS: u16 = 250;
    const OPS: u32 = 3_000;
    const NEARLY_FULL: usize = (BUCKETS * WAYS * 95).div_ceil(100) as usize;
    let memory = Memory::<F>::new(BUCKETS, seed);
    let mut both =
        Both { table: memory.table(), known: HashMap::new(), now: 10 * MINUTE, is_crowded: true };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut when_nearly_full = 0;
    for step in 0..OPS {
        let is_nearly_full = both.entries() >= NEARLY_FULL;
        when_nearly_full += u32::from(is_nearly_full);
        let [client, port] = [(); 2].map(|()| random.u16(..CLIENTS));
        match op(&mut random, CLIENTS) {
            // Mostly, established connections are in use.
            Op::Wait { .. } if random.u8(..32) > 0 => {}
            op if is_nearly_full => both.carry_out(&op),
            _ => both.carry_out(&Op::Open { client, port, seen: ESTABLISHED }),
        }
        if step % 64 == 0 {
            both.check();
            both.find_all();
        }
        if step % 512 == 0 {
            both.sweep();
        }
    }
    both.check();
    both.find_all();
    assert!(when_nearly_full > OPS / 5 * 4, "{when_nearly_full}");
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
    fn a_nearly_full_table_does_what_the_model_does(seed: u64) {
        run_nearly_full::<V4>(seed);
    }

    #[test]
    fn a_nearly_full_ipv6_table_does_what_the_model_does(seed: u64) {
        run_nearly_full::<V6>(seed);
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
        assert!(
            !is_known(victim),
            "{state:?} is still there, and a connection that is worth more is not"
        );
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
