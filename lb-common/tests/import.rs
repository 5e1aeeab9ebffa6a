//! Connections that move from one table to another.

#[path = "support/backends.rs"]
mod backends;
#[path = "support/counting.rs"]
mod counting;
mod support;

use lb_common::{
    flow::{FlowKey, Pair, Protocol, State, V4, flags_seen},
    table::{self, Entry as _, Import, Imported, buckets_for, partner, peek, set_flags},
};

use self::{
    counting::{Counting, Memory},
    support::TestFamily as _,
};

const ESTABLISHED: u16 = flags_seen::SHAKEN | flags_seen::PROVEN;

/// Runs a test on an empty table for this many connections.
fn with_table(connections: u32, test: impl FnOnce(Counting<'_, V4>)) {
    test(Memory::new(buckets_for(connections), 1).table());
}

fn inside(client: u32) -> FlowKey {
    let [_, net, host, port] = client.to_be_bytes();
    V4::inside(Protocol::Tcp, [198, 18, net, host], [1, port])
}

/// Imports a connection a while after its last packet.
fn import(table: Counting<'_, V4>, import: &Import) -> Imported {
    table::import(table, import, 5_000)
}

/// Returns an established connection of a client by a source port.
fn established(client: u32, port: u16) -> Import {
    let outside = V4::outside(Protocol::Tcp, [10, 0, 0, 1], port.to_be_bytes());
    let pair = Pair::new(&inside(client), &outside, 1, 9).words();
    let number = 77;
    Import { pair, last_seen: 1_000, number, other: 500, seen: ESTABLISHED, ..Import::default() }
}

#[test]
fn an_imported_connection_is_the_same_and_is_not_imported_twice() {
    with_table(100, |table| {
        let moved = established(1, 1_024);
        assert_eq!(import(table, &moved), Imported::Added);
        assert_eq!(import(table, &moved), Imported::Known);
        assert_eq!((table.table.flows().count(), table.active.get()), (2, 1));
        let hit = peek(table, &inside(1)).expect("known");
        let back = partner(table, hit).expect("a pair");
        assert_eq!(hit.entry.pair().words(), moved.pair);
        assert_eq!((hit.tag.flags_seen(), hit.entry.extra()), (ESTABLISHED, 500));
        assert_eq!(back.tag.flags_seen(), ESTABLISHED | flags_seen::TO_CLIENT);
        assert_eq!((back.entry.extra(), back.entry.last_seen()), (77, 1_000));
        assert_eq!(hit.entry.last_seen(), 1_000);
    });
}

#[test]
fn a_known_connection_goes_as_far_as_in_either_table() {
    with_table(100, |table| {
        let half_open = Import { seen: 0, number: 5, ..established(1, 1_024) };
        assert_eq!(import(table, &half_open), Imported::Added);
        set_flags(table, peek(table, &inside(1)).expect("known"), flags_seen::BACKEND_FIN, 0);
        assert_eq!(import(table, &established(1, 1_024)), Imported::Updated);
        let hit = peek(table, &inside(1)).expect("known");
        let back = partner(table, hit).expect("a pair");
        assert_eq!(hit.tag.flags_seen(), ESTABLISHED | flags_seen::BACKEND_FIN);
        assert_eq!((back.entry.extra(), hit.state(), table.active.get()), (77, State::Closing, 1));
        assert_eq!(import(table, &half_open), Imported::Known);
        assert_eq!(peek(table, &inside(1)).expect("known").tag, hit.tag);
    });
}

#[test]
fn tuples_and_ports_of_others_stay_theirs() {
    with_table(100, |table| {
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        assert_eq!(import(table, &established(2, 1_024)), Imported::Taken);
        assert_eq!(import(table, &established(1, 1_025)), Imported::Taken);
        assert_eq!((table.table.flows().count(), table.active.get()), (2, 1));
        let own = Import { seen: flags_seen::BACKEND_FIN | ESTABLISHED, ..established(1, 1_025) };
        assert_eq!(import(table, &own), Imported::Taken);
        assert_eq!(peek(table, &inside(1)).expect("known").tag.flags_seen(), ESTABLISHED);
    });
}

#[test]
fn a_tuple_is_that_of_the_connection_that_began_last() {
    with_table(100, |table| {
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        let again = Import { last_seen: 1_200, other: 1_100, ..established(1, 1_025) };
        assert_eq!(import(table, &again), Imported::Added);
        assert_eq!(import(table, &established(1, 1_024)), Imported::Taken);
        let hit = peek(table, &inside(1)).expect("known");
        assert_eq!((hit.entry.pair().words(), table.active.get()), (again.pair, 1));
        assert!(partner(table, hit).is_some());
        let rests = table.table.flows().filter(|hit| hit.state() == State::Closed);
        assert_eq!(rests.count(), 1, "the former port is in quarantine");
    });
}

#[test]
fn a_handshake_takes_the_place_of_no_connection_in_use() {
    with_table(100, |table| {
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        let handshake = Import { seen: 0, other: 900, last_seen: 1_100, ..established(1, 1_025) };
        assert_eq!(import(table, &handshake), Imported::Taken);
        let later = Import { other: 1_050, ..handshake };
        assert_eq!(import(table, &later), Imported::Added);
    });
}

/// A daemon may be followed by one that imports the same connections again, hours later.
#[test]
fn a_connection_that_is_imported_again_is_as_young_as_in_either_table() {
    with_table(100, |table| {
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        let again = Import { last_seen: 4_000, number: 99, ..established(1, 1_024) };
        assert_eq!(import(table, &again), Imported::Updated);
        assert_eq!(import(table, &established(1, 1_024)), Imported::Known);
        let hit = peek(table, &inside(1)).expect("known");
        let back = partner(table, hit).expect("a pair");
        assert_eq!([hit, back].map(|flow| flow.entry.last_seen()), [4_000; 2]);
        assert_eq!((hit.entry.extra(), back.entry.extra()), (500, 99));
    });
}

#[test]
fn a_smaller_table_keeps_what_it_has_room_for() {
    with_table(5, |table| {
        let results: Vec<_> =
            (0..50_u16).map(|nth| import(table, &established(nth.into(), 1_024 + nth))).collect();
        let added = results.iter().filter(|result| **result == Imported::Added).count();
        assert!(results[..5].iter().all(|result| *result == Imported::Added), "{results:?}");
        assert!(results.contains(&Imported::Full), "{results:?}");
        assert_eq!(table.table.flows().count(), 2 * added);
        assert_eq!(usize::try_from(table.active.get()), Ok(added));
    });
}

/// Returns a connection's entries, towards the backend first.
fn both(table: Counting<'_, V4>, client: u32) -> [table::Found<Counting<'_, V4>>; 2] {
    let hit = peek(table, &inside(client)).expect("known");
    [hit, partner(table, hit).expect("a pair")]
}

/// A forged reset counts until the backend takes it back, which may be after the first pass.
#[test]
fn what_the_other_table_has_taken_back_does_not_come_back() {
    with_table(100, |table| {
        let seen = ESTABLISHED | flags_seen::CLIENT_RST;
        let reset = Import { seen, ..established(1, 1_024) };
        assert_eq!(import(table, &reset), Imported::Added);
        let again = Import { before: seen, last_seen: 1_001, ..established(1, 1_024) };
        assert_eq!(import(table, &again), Imported::Updated);
        for hit in both(table, 1) {
            assert_eq!(hit.state(), State::Established);
        }
        set_flags(table, both(table, 1)[0], flags_seen::CLIENT_FIN, 0);
        let unchanged = Import { before: ESTABLISHED, ..again };
        assert_eq!(import(table, &unchanged), Imported::Known);
        assert_eq!(both(table, 1)[0].state(), State::Closing, "only this table has seen the FIN");
    });
}

#[test]
fn a_number_is_newer_after_more_than_half_of_all_numbers() {
    with_table(100, |table| {
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        let before = ESTABLISHED;
        let far =
            Import { before, number: 77 + (3 << 30), last_seen: 1_900, ..established(1, 1_024) };
        assert_eq!(import(table, &far), Imported::Updated);
        assert_eq!(both(table, 1)[1].entry.extra(), far.number);
        assert_eq!(import(table, &far), Imported::Known);
    });
}

/// A copy of the SYN of a connection that has not moved yet opens another one, whose handshake never ends.
#[test]
fn a_handshake_gives_way_to_a_connection_in_use() {
    with_table(100, |table| {
        let copy = Import { seen: 0, other: 2_000, last_seen: 2_000, ..established(1, 1_025) };
        assert_eq!(import(table, &copy), Imported::Added);
        let closed = Import { seen: ESTABLISHED | flags_seen::FINS, ..established(1, 1_024) };
        assert_eq!(import(table, &closed), Imported::Taken, "the client may use its port again");
        assert_eq!(import(table, &established(1, 1_024)), Imported::Added);
        assert_eq!(both(table, 1)[0].entry.pair().words(), established(1, 1_024).pair);
    });
}

/// Not even one that has been silent for longer than a new connection would respect.
#[test]
fn an_import_evicts_none_that_has_not_ended() {
    with_table(5, |table| {
        let late = |nth: u16| {
            table::import(table, &established(nth.into(), 1_024 + nth), 10 * table::SILENCE)
        };
        let results: Vec<_> = (0..50).map(late).collect();
        let added = results.iter().filter(|result| **result == Imported::Added).count();
        assert!(results.contains(&Imported::Full), "{results:?}");
        assert_eq!(table.table.flows().count(), 2 * added, "{results:?}");
    });
}

#[test]
fn an_end_that_was_told_stays_told() {
    with_table(100, |table| {
        let seen = ESTABLISHED | flags_seen::FINS;
        for (client, is_told) in [(1, 1), (2, 0)] {
            let port = 1_024 + u16::try_from(client).expect("small");
            let ended = Import { seen, is_told, ..established(client, port) };
            assert_eq!(import(table, &ended), Imported::Added);
            assert_eq!(both(table, client)[0].tag.is_told(), is_told == 1);
        }
    });
}
