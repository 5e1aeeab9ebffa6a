//! The flow table under every interleaving of two threads, by loom.

mod storage;
#[path = "../support/mod.rs"]
mod support;

use lb_common::{
    client_hops::NO_SLOT,
    flow::{Direction, Protocol, Tuple, flags_seen},
    table::{
        Bucket as _, Busy, Entry as _, Found, Index, Known, Opening, Owner, Review, Unopened, WAYS,
        find, mark_expiring, open, open_one_way, peek, remove, replace_closed, set_flags, track,
        update_client_hop,
    },
    tcp::{self, Segment},
};
use loom::{model::Builder, sync::Arc, thread};

use self::{
    storage::{Entries, NOW, Shared, seed_for},
    support::TestFamily,
};

/// Makes tests of functions, for each family.
macro_rules! in_each_family {
    ($($test:ident),+ $(,)?) => {
        mod v4 {
            $(#[test] fn $test() { super::$test::<lb_common::flow::V4>() })+
        }
        mod v6 {
            $(#[test] fn $test() { super::$test::<lb_common::flow::V6>() })+
        }
    };
}

const HALF_OPEN: u16 = 0;
const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;
const CLOSED: u16 = ESTABLISHED | flags_seen::FINS;

/// Initial sequence numbers of client and backend.
const CLIENT_ISN: u32 = 1_000;
const BACKEND_ISN: u32 = 7_000;

/// Runs the test on a table with this many free entries, in every interleaving of the two threads
/// with a few preemptions. Each of the keys of two connections has its own home, if there are enough.
fn explore<F: TestFamily>(free: u8, test: impl Fn(Arc<Entries<F>>) + Send + Sync + 'static) {
    explore_within(3, free, [0, 1, 2, 3, 4].map(|home| u32::from(home % free)), test);
}

/// As [`explore`], with these homes: of the first connection's tuple, of its reply's, of both of the
/// second's, and of the reply's by a third source port.
fn explore_homes<F: TestFamily>(
    free: u8,
    homes: [u32; 5],
    test: impl Fn(Arc<Entries<F>>) + Send + Sync + 'static,
) {
    explore_within(2, free, homes, test);
}

/// As [`explore_homes`], with this many preemptions at most.
fn explore_within<F: TestFamily>(
    preemptions: usize,
    free: u8,
    homes: [u32; 5],
    test: impl Fn(Arc<Entries<F>>) + Send + Sync + 'static,
) {
    let keys =
        [inside::<F>(1), outside(1).turned(), inside(2), outside(2).turned(), outside(3).turned()];
    let homes: Vec<_> = keys.into_iter().zip(homes).collect();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let seed = seed_for(&homes);
    builder.check(move || test(Arc::new(Entries::new(free.into(), seed))));
}

/// Runs both at once, and returns their results.
fn both<F: TestFamily, A: 'static, B: 'static>(
    entries: &Arc<Entries<F>>,
    one: impl FnOnce(Shared<'_, F>) -> A + 'static,
    other: impl FnOnce(Shared<'_, F>) -> B + 'static,
) -> (A, B) {
    let theirs = Arc::clone(entries);
    let thread = thread::spawn(move || one(Shared(&theirs)));
    let theirs = other(Shared(entries));
    (thread.join().expect("no panic"), theirs)
}

fn inside<F: TestFamily>(client: u8) -> Tuple<F> {
    F::inside(Protocol::Tcp, [192, 0, 2, client], [160, 0])
}

fn outside<F: TestFamily>(port: u8) -> Tuple<F> {
    F::outside(Protocol::Tcp, [10, 0, 0, 1], [4, port])
}

fn connect<F: TestFamily>(
    table: Shared<'_, F>,
    client: u8,
    port: u8,
    seen: u16,
) -> Result<(), Unopened> {
    let inside = &inside(client);
    let (hop, backend) = (NO_SLOT, port.into());
    let opening = Opening { inside, hop, backend, seen, number: CLIENT_ISN, now: NOW };
    open(table, &opening, &outside(port)).map(|_| ())
}

/// Returns the entry towards the backend of a client's connection.
fn known<F: TestFamily>(table: Shared<'_, F>, client: u8) -> Found<Shared<'_, F>> {
    peek(table, &inside(client)).expect("known")
}

/// Returns the entry towards the client of a connection with this source port.
fn reply_to<F: TestFamily>(table: Shared<'_, F>, port: u8) -> Found<Shared<'_, F>> {
    peek(table, &outside(port).turned()).expect("held")
}

/// Fails if half a pair is in the table, unless its source port rests, or if active connections
/// were miscounted.
fn assert_pairs<F: TestFamily>(table: Shared<'_, F>) {
    for hit in table.flows() {
        assert!(!hit.tag.is_claimed(), "{hit:?}");
        let rests = hit.tag.flags_seen() & flags_seen::QUARANTINED != 0;
        let partner = peek(table, &hit.partner_key(table));
        assert!(rests || partner.is_some(), "half a pair: {hit:?}");
    }
    let active = table.flows().iter().filter(|hit| hit.tag.is_active()).count();
    assert_eq!(usize::try_from(table.active()), Ok(active));
}

fn one_key_gets_one_connection_from_two_inserters<F: TestFamily>() {
    explore::<F>(4, |entries| {
        let (one, other) = both(
            &entries,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 1, 2, ESTABLISHED),
        );
        let table = Shared(&entries);
        assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 2 * opened);
        assert_pairs(table);
        assert_eq!(peek(table, &inside(1)).is_some(), opened == 1);
    });
}

/// As above, with the home of the key held by another connection: both extend its
/// reach, and claim entries elsewhere.
fn one_key_gets_one_connection_from_two_inserters_away_from_home<F: TestFamily>() {
    explore_homes::<F>(6, [0, 1, 0, 2, 3], |entries| {
        connect(Shared(&entries), 2, 2, ESTABLISHED).expect("room");
        let (one, other) = both(
            &entries,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 1, 3, ESTABLISHED),
        );
        let table = Shared(&entries);
        assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 2 + 2 * opened);
        assert_pairs(table);
        assert_eq!(peek(table, &inside(1)).is_some(), opened == 1);
    });
}

/// The connection that holds the home of a key ends while two CPUs open connections of that key: one
/// may find the home free, and the other one not, and take the neighbour if that is free.
fn one_key_gets_one_connection_while_its_home_becomes_free<F: TestFamily>() {
    for (free, homes) in [(5, [0, 1, 0, 4, 2]), (6, [0, 2, 0, 4, 3])] {
        explore_homes::<F>(free, homes, |entries| {
            connect(Shared(&entries), 2, 2, ESTABLISHED).expect("room");
            let (one, (_, other)) = both(
                &entries,
                |table| connect(table, 1, 1, ESTABLISHED),
                |table| {
                    let hit = known(table, 2);
                    let removed = remove(table, hit.index, hit.tag, hit.tag.freed(), NOW);
                    (removed, connect(table, 1, 3, ESTABLISHED))
                },
            );
            assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
            let table = Shared(&entries);
            let of_one = table.flows().iter().filter(|hit| hit.key(table) == inside(1)).count();
            assert_eq!(of_one, usize::from(one.is_ok() || other.is_ok()));
            assert_pairs(table);
        });
    }
}

/// The home of a key stays held, and its neighbour becomes free while two CPUs open connections of that
/// key: one may go further away before, and the other one take the neighbour.
fn one_key_gets_one_connection_while_a_neighbour_becomes_free<F: TestFamily>() {
    explore_homes::<F>(6, [0, 3, 0, 2, 4], |entries| {
        let table = Shared(&entries);
        connect(table, 2, 2, ESTABLISHED).expect("room");
        let free = table.entry(1).tag();
        let held = free.claimed(Owner::new(0, Protocol::Udp)).published(ESTABLISHED);
        assert_eq!(table.entry(1).exchange(free, held), free);
        let (one, other) = both(
            &entries,
            move |table| {
                let found = table.entry(1).exchange(held, held.freed());
                assert!(found.is_unchanged(held));
                connect(table, 1, 3, ESTABLISHED)
            },
            |table| connect(table, 1, 1, ESTABLISHED),
        );
        assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
        let table = Shared(&entries);
        let of_one = table.flows().iter().filter(|hit| hit.key(table) == inside(1)).count();
        assert_eq!(of_one, usize::from(one.is_ok() || other.is_ok()));
        assert_pairs(table);
    });
}

/// A sweep lowers the reach of a home while a CPU places a flow elsewhere: the flow is found afterwards.
fn a_flow_that_is_placed_elsewhere_during_a_review_is_found<F: TestFamily>() {
    explore_homes::<F>(4, [0, 1, 0, 2, 3], |entries| {
        let table = Shared(&entries);
        connect(table, 2, 2, ESTABLISHED).expect("room");
        // An earlier flow of this home is gone, and the last sweep has put the home under review.
        let tag = table.entry(0).tag();
        assert_eq!(table.entry(0).exchange(tag, tag.extended(1).under_review()), tag);
        let (opened, ()) = both(
            &entries,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| {
                let mut homes = [0; WAYS as usize];
                let mut review = Review::new(table, &mut homes);
                for hit in table.entries() {
                    review.visit(hit);
                }
                review.finish();
            },
        );
        assert_eq!(peek(Shared(&entries), &inside(1)).is_some(), opened.is_ok());
        assert_pairs(Shared(&entries));
    });
}

fn one_source_port_gets_one_connection_from_two_inserters<F: TestFamily>() {
    explore::<F>(4, |entries| {
        let (one, other) = both(
            &entries,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 2, 1, ESTABLISHED),
        );
        let table = Shared(&entries);
        assert!(!(one.is_ok() && other.is_ok()), "both have the port");
        assert_eq!(table.flows().len(), 2 * usize::from(one.is_ok() || other.is_ok()));
        assert_pairs(table);
    });
}

fn two_inserters_share_what_room_there_is_by_whole_pairs<F: TestFamily>() {
    explore::<F>(2, |entries| {
        let (one, other) = both(
            &entries,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 2, 2, ESTABLISHED),
        );
        let table = Shared(&entries);
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 2 * opened);
        assert!(opened <= 1);
        assert_pairs(table);
    });
}

fn a_reader_gets_a_whole_flow_of_its_own_key_or_nothing<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, CLOSED).expect("room");
        // The new connection takes over the entries of the old one, which has ended.
        let (opened, read) = both(
            &entries,
            |table| connect(table, 2, 2, ESTABLISHED),
            |table| match find(table, &inside(1)) {
                Ok(Some(Known { hit, .. })) => {
                    let (partner, backend) = (hit.partner_key(table), hit.entry.pair().backend());
                    hit.holds().then_some((partner, backend))
                }
                Ok(None) | Err(Busy) => None,
            },
        );
        if let Some((partner, backend)) = read {
            assert_eq!((partner, backend), (outside(1).turned(), 1));
        }
        assert_pairs(Shared(&entries));
        if opened.is_ok() {
            assert!(peek(Shared(&entries), &inside(2)).is_some());
        }
    });
}

fn an_evicted_connection_goes_whole_and_a_refreshed_one_stays_whole<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, HALF_OPEN).expect("room");
        let (evicted, ()) = both(
            &entries,
            |table| {
                let hit = known(table, 1);
                remove(table, hit.index, hit.tag, hit.tag.freed(), NOW)
            },
            |table| {
                if let Ok(Some(Known { hit, .. })) = find(table, &inside(1)) {
                    hit.entry.set_last_seen(NOW + 1);
                    set_flags(table, hit, flags_seen::SHAKEN, 0);
                }
            },
        );
        let table = Shared(&entries);
        assert_eq!(table.flows().len(), if evicted { 0 } else { 2 });
        assert_pairs(table);
    });
}

fn a_port_is_taken_from_a_half_open_connection_only<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, HALF_OPEN).expect("room");
        // Finds it by the entry towards the client, as a connection that wants its port does.
        let holder = peek(Shared(&entries), &outside(1).turned()).expect("held");
        assert_eq!(holder.direction(), Direction::ToClient);
        let (index, tag) = (holder.index, holder.tag);
        let (taken, acknowledged) = both(
            &entries,
            move |table| remove(table, index, tag, tag.freed(), NOW),
            |table| match find(table, &inside(1)) {
                Ok(Some(Known { hit, .. })) => {
                    set_flags(table, hit, flags_seen::SHAKEN, 0);
                    hit.holds()
                }
                Ok(None) | Err(Busy) => false,
            },
        );
        let table = Shared(&entries);
        assert!(!(taken && acknowledged), "taken from a connection that is established");
        assert_eq!(table.flows().len(), if taken { 0 } else { 2 });
        assert_pairs(table);
    });
}

fn a_home_keeps_its_reach_when_its_flow_goes<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, HALF_OPEN).expect("room");
        let holder = peek(Shared(&entries), &outside(1).turned()).expect("held");
        let (index, tag) = (holder.index, holder.tag);
        assert_eq!(index, Index(1));
        let (_, marked) = both(
            &entries,
            move |table| remove(table, index, tag, tag.freed(), NOW),
            |table| {
                let tag = table.entry(1).tag();
                !tag.is_claimed() && table.entry(1).exchange(tag, tag.extended(2)) == tag
            },
        );
        assert_eq!(Shared(&entries).entry(1).tag().reach() == 2, marked);
        assert_pairs(Shared(&entries));
    });
}

fn an_expiring_flow_that_was_found_stays<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, ESTABLISHED).expect("room");
        let table = Shared(&entries);
        let partner = peek(table, &outside(1).turned()).expect("held");
        mark_expiring(partner).expect("nobody is there");
        let hit = known(table, 1);
        let (index, tag) = (hit.index, mark_expiring(hit).expect("nobody is there"));
        let (removed, found) = both(
            &entries,
            move |table| remove(table, index, tag, tag.freed(), NOW),
            |table| matches!(find(table, &inside(1)), Ok(Some(_))),
        );
        let table = Shared(&entries);
        assert!(!(removed && found), "removed under a packet's hands");
        assert!(removed || found);
        assert_eq!(table.flows().len(), if removed { 0 } else { 2 });
        assert_pairs(table);
    });
}

fn a_closed_connection_is_replaced_once<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, CLOSED).expect("room");
        let replaced = |table: Shared<'_, F>| match find(table, &inside(1)) {
            Ok(Some(Known { hit, .. })) => replace_closed(table, hit, false, NOW) == Ok(true),
            Ok(None) | Err(Busy) => false,
        };
        let (one, other) = both(&entries, replaced, replaced);
        assert!(one != other, "it was replaced {} times", u8::from(one) + u8::from(other));
        let left = Shared(&entries).flows();
        assert_eq!(left.len(), 1);
        assert_ne!(left[0].tag.flags_seen() & flags_seen::QUARANTINED, 0);
    });
}

/// Two concurrent copies of the ACK that ends a handshake: the second must not take the
/// connection's number for the backend's SYN.
fn a_handshake_ends_once<F: TestFamily>() {
    explore::<F>(2, |entries| {
        let table = Shared(&entries);
        connect(table, 1, 1, HALF_OPEN).expect("room");
        let reply = peek(table, &outside(1).turned()).expect("held");
        let synack = segment(tcp::SYN | tcp::ACK, BACKEND_ISN, CLIENT_ISN + 1);
        track(table, reply, &synack).expect("nobody else is there");
        let end = |table: Shared<'_, F>| {
            let ack = segment(tcp::ACK, CLIENT_ISN + 1, BACKEND_ISN + 1);
            track(table, known(table, 1), &ack).expect("nobody writes an entry");
        };
        both(&entries, end, end);
        let (inside, outside) = (known(Shared(&entries), 1), outside(1).turned());
        let reply = peek(Shared(&entries), &outside).expect("held");
        assert_eq!(inside.tag.flags_seen(), flags_seen::SHAKEN);
        assert_eq!(reply.tag.flags_seen(), flags_seen::SHAKEN | flags_seen::TO_CLIENT);
        assert_eq!((reply.entry.extra(), inside.entry.extra()), (CLIENT_ISN + 1, BACKEND_ISN));
        assert_pairs(Shared(&entries));
    });
}

/// The client's FIN and the backend's first data, on two CPUs.
fn a_connection_has_its_start_whatever_comes_at_the_same_time<F: TestFamily>() {
    explore::<F>(2, |entries| {
        let table = Shared(&entries);
        connect(table, 1, 1, HALF_OPEN).expect("room");
        track(
            table,
            reply_to(table, 1),
            &segment(tcp::SYN | tcp::ACK, BACKEND_ISN, CLIENT_ISN + 1),
        )
        .expect("nobody else is there");
        let ack = segment(tcp::ACK, CLIENT_ISN + 1, BACKEND_ISN + 1);
        track(table, known(table, 1), &ack).expect("nobody else is there");
        let fin = |table: Shared<'_, F>| {
            let fin = segment(tcp::FIN | tcp::ACK, CLIENT_ISN + 1, BACKEND_ISN + 1);
            track(table, known(table, 1), &fin).expect("nobody writes an entry");
        };
        let data = |table: Shared<'_, F>| {
            let data = segment(tcp::ACK, BACKEND_ISN + 1, CLIENT_ISN + 1);
            track(table, reply_to(table, 1), &Segment { payload: 1, ..data }).expect("as above");
        };
        both(&entries, fin, data);
        let hit = known(Shared(&entries), 1);
        let seen = flags_seen::SHAKEN | flags_seen::PROVEN | flags_seen::CLIENT_FIN;
        assert_eq!((hit.tag.flags_seen(), hit.entry.extra()), (seen, NOW));
        assert_pairs(Shared(&entries));
    });
}

/// A SYN, possibly spoofed, while the replies' next hop is being written: the partner exists, but
/// cannot be read.
fn a_connection_whose_client_moves_is_not_replaced<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect(Shared(&entries), 1, 1, ESTABLISHED).expect("room");
        let moves = |table: Shared<'_, F>| {
            if let Ok(Some(Known { hit, .. })) = find(table, &inside(1)) {
                update_client_hop(table, hit, 3);
            }
        };
        let opens = |table: Shared<'_, F>| match find(table, &inside(1)) {
            Ok(Some(Known { hit, .. })) => replace_closed(table, hit, false, NOW) == Ok(true),
            Ok(None) | Err(Busy) => false,
        };
        let ((), replaced) = both(&entries, moves, opens);
        assert!(!replaced, "a live connection has made room");
        assert_eq!(Shared(&entries).flows().len(), 2);
        assert_pairs(Shared(&entries));
    });
}

fn connect_one_way<F: TestFamily>(table: Shared<'_, F>, client: u8) -> Result<(), Unopened> {
    let (inside, seen) = (&inside(client), HALF_OPEN);
    let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: CLIENT_ISN, now: NOW };
    open_one_way(table, &opening).map(|_| ())
}

fn one_key_gets_one_flow_of_one_direction_from_two_inserters<F: TestFamily>() {
    // Its home is held by another flow, so that both claim entries elsewhere.
    explore_homes::<F>(4, [0, 1, 0, 2, 3], |entries| {
        connect_one_way(Shared(&entries), 2).expect("room");
        let (one, other) =
            both(&entries, |table| connect_one_way(table, 1), |table| connect_one_way(table, 1));
        let table = Shared(&entries);
        assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 1 + opened);
        assert_eq!(usize::try_from(table.active()), Ok(1 + opened));
        assert_eq!(peek(table, &inside(1)).is_some(), opened == 1);
    });
}

fn an_expiring_flow_of_one_direction_that_was_found_stays<F: TestFamily>() {
    explore::<F>(2, |entries| {
        connect_one_way(Shared(&entries), 1).expect("room");
        let hit = known(Shared(&entries), 1);
        let (index, tag) = (hit.index, mark_expiring(hit).expect("nobody is there"));
        let (removed, found) = both(
            &entries,
            move |table| remove(table, index, tag, tag.freed(), NOW),
            |table| matches!(find(table, &inside(1)), Ok(Some(_))),
        );
        let table = Shared(&entries);
        assert!(removed != found, "removed under a packet's hands, or lost");
        assert_eq!(table.flows().len(), usize::from(found));
        assert_eq!(usize::try_from(table.active()), Ok(usize::from(found)));
    });
}

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment { flags, sequence, acknowledgement, payload: 0 }
}

in_each_family! {
    one_key_gets_one_connection_from_two_inserters,
    one_key_gets_one_connection_from_two_inserters_away_from_home,
    one_key_gets_one_connection_while_its_home_becomes_free,
    one_key_gets_one_connection_while_a_neighbour_becomes_free,
    a_flow_that_is_placed_elsewhere_during_a_review_is_found,
    one_source_port_gets_one_connection_from_two_inserters,
    two_inserters_share_what_room_there_is_by_whole_pairs,
    a_reader_gets_a_whole_flow_of_its_own_key_or_nothing,
    an_evicted_connection_goes_whole_and_a_refreshed_one_stays_whole,
    a_port_is_taken_from_a_half_open_connection_only,
    a_home_keeps_its_reach_when_its_flow_goes,
    an_expiring_flow_that_was_found_stays,
    a_closed_connection_is_replaced_once,
    a_handshake_ends_once,
    a_connection_has_its_start_whatever_comes_at_the_same_time,
    a_connection_whose_client_moves_is_not_replaced,
    one_key_gets_one_flow_of_one_direction_from_two_inserters,
    an_expiring_flow_of_one_direction_that_was_found_stays,
}
