//! The flow table under every interleaving of two threads, by loom.

mod storage;

use lb_common::{
    backend::Hop,
    flow::{Direction, FlowKey, marks},
    table::{
        Bucket as _, Busy, Found, Line as _, Opening, Place, Unopened, condemn, find, open, peek,
        relearn, remark, remove, replace, track,
    },
    tcp::{self, Segment},
};
use loom::{model::Builder, sync::Arc, thread};

use self::storage::{Lines, NOW, Shared};

const HALF_OPEN: u16 = 0;
const ESTABLISHED: u16 = marks::SHAKEN | marks::PROVEN;
const CLOSED: u16 = ESTABLISHED | marks::FINS;

/// Initial sequence numbers of client and backend.
const CLIENT_ISN: u32 = 1_000;
const BACKEND_ISN: u32 = 7_000;

/// Runs the test on a table with this many free lines, in every interleaving of the two threads
/// with a few preemptions.
fn explore(free: usize, test: impl Fn(Arc<Lines>) + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(move || test(Arc::new(Lines::new(free))));
}

/// Runs both at once, and returns their results.
fn both<A: 'static, B: 'static>(
    lines: &Arc<Lines>,
    one: impl FnOnce(Shared<'_>) -> A + 'static,
    other: impl FnOnce(Shared<'_>) -> B + 'static,
) -> (A, B) {
    let theirs = Arc::clone(lines);
    let thread = thread::spawn(move || one(Shared(&theirs)));
    let theirs = other(Shared(lines));
    (thread.join().expect("no panic"), theirs)
}

fn inside(client: u8) -> FlowKey {
    FlowKey::tcp([192, 0, 2, client], [160, 0], [203, 0, 113, 10], [0, 80])
}

fn outside(port: u8) -> FlowKey {
    FlowKey::tcp([10, 0, 0, 1], [4, port], [10, 0, 0, 11], [0, 80])
}

fn connect(table: Shared<'_>, client: u8, port: u8, marks: u16) -> Result<(), Unopened> {
    let inside = &inside(client);
    let (client, backend) = (Hop::default(), port.into());
    let opening = Opening { inside, client, backend, marks, number: CLIENT_ISN, now: NOW };
    open(table, &opening, &outside(port)).map(|_| ())
}

/// Returns the entry towards the backend of a client's connection.
fn known(table: Shared<'_>, client: u8) -> Found<Shared<'_>> {
    peek(table, &inside(client)).expect("known")
}

/// Fails if half a pair is in the table, unless its source port rests, or if active connections
/// were miscounted.
fn assert_pairs(table: Shared<'_>) {
    for hit in table.flows() {
        assert!(!hit.tag.is_claimed(), "{hit:?}");
        let rests = hit.tag.marks() & marks::QUARANTINED != 0;
        let partner = peek(table, &hit.line.partner());
        assert!(rests || partner.is_some(), "half a pair: {hit:?}");
    }
    let active = table.flows().iter().filter(|hit| hit.tag.is_active()).count();
    assert_eq!(usize::try_from(table.active()), Ok(active));
}

#[test]
fn one_key_gets_one_connection_from_two_inserters() {
    explore(4, |lines| {
        let (one, other) = both(
            &lines,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 1, 2, ESTABLISHED),
        );
        let table = Shared(&lines);
        assert!(!(one.is_ok() && other.is_ok()), "both have opened it");
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 2 * opened);
        assert_pairs(table);
        assert_eq!(peek(table, &inside(1)).is_some(), opened == 1);
    });
}

#[test]
fn one_source_port_gets_one_connection_from_two_inserters() {
    explore(4, |lines| {
        let (one, other) = both(
            &lines,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 2, 1, ESTABLISHED),
        );
        let table = Shared(&lines);
        assert!(!(one.is_ok() && other.is_ok()), "both have the port");
        assert_eq!(table.flows().len(), 2 * usize::from(one.is_ok() || other.is_ok()));
        assert_pairs(table);
    });
}

#[test]
fn two_inserters_share_what_room_there_is_by_whole_pairs() {
    explore(2, |lines| {
        let (one, other) = both(
            &lines,
            |table| connect(table, 1, 1, ESTABLISHED),
            |table| connect(table, 2, 2, ESTABLISHED),
        );
        let table = Shared(&lines);
        let opened = usize::from(one.is_ok()) + usize::from(other.is_ok());
        assert_eq!(table.flows().len(), 2 * opened);
        assert!(opened <= 1);
        assert_pairs(table);
    });
}

#[test]
fn a_reader_gets_a_whole_flow_of_its_own_key_or_nothing() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, CLOSED).expect("room");
        // The new connection takes over the lines of the old one, which has ended.
        let (opened, read) = both(
            &lines,
            |table| connect(table, 2, 2, ESTABLISHED),
            |table| match find(table, &inside(1)) {
                Ok(Some(hit)) => {
                    let (partner, backend) = (hit.line.partner(), hit.line.backend());
                    hit.holds().then_some((partner, backend))
                }
                Ok(None) | Err(Busy) => None,
            },
        );
        if let Some((partner, backend)) = read {
            assert_eq!((partner, backend), (outside(1).turned(), 1));
        }
        assert_pairs(Shared(&lines));
        if opened.is_ok() {
            assert!(peek(Shared(&lines), &inside(2)).is_some());
        }
    });
}

#[test]
fn an_evicted_connection_goes_whole_and_a_refreshed_one_stays_whole() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, HALF_OPEN).expect("room");
        let (evicted, ()) = both(
            &lines,
            |table| {
                let hit = known(table, 1);
                remove(table, hit.place, hit.tag, hit.tag.freed(), NOW)
            },
            |table| {
                if let Ok(Some(hit)) = find(table, &inside(1)) {
                    hit.line.set_seen(NOW + 1);
                    remark(table, hit, marks::SHAKEN, 0);
                }
            },
        );
        let table = Shared(&lines);
        assert_eq!(table.flows().len(), if evicted { 0 } else { 2 });
        assert_pairs(table);
    });
}

#[test]
fn a_port_is_taken_from_a_half_open_connection_only() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, HALF_OPEN).expect("room");
        // Finds it by the entry towards the client, as a connection that wants its port does.
        let holder = peek(Shared(&lines), &outside(1).turned()).expect("held");
        assert_eq!(holder.direction(), Direction::ToClient);
        let (place, tag) = (holder.place, holder.tag);
        let (taken, acknowledged) = both(
            &lines,
            move |table| remove(table, place, tag, tag.freed(), NOW),
            |table| match find(table, &inside(1)) {
                Ok(Some(hit)) => {
                    remark(table, hit, marks::SHAKEN, 0);
                    hit.holds()
                }
                Ok(None) | Err(Busy) => false,
            },
        );
        let table = Shared(&lines);
        assert!(!(taken && acknowledged), "taken from a connection that is established");
        assert_eq!(table.flows().len(), if taken { 0 } else { 2 });
        assert_pairs(table);
    });
}

#[test]
fn what_a_bucket_says_of_itself_outlives_who_stands_in_its_first_line() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, HALF_OPEN).expect("room");
        let holder = peek(Shared(&lines), &outside(1).turned()).expect("held");
        let (place, tag) = (holder.place, holder.tag);
        assert_eq!(place, Place(0));
        let (_, marked) = both(
            &lines,
            move |table| remove(table, place, tag, tag.freed(), NOW),
            |table| {
                let tag = table.line(0).tag();
                !tag.is_claimed() && table.line(0).exchange(tag, tag.overflowed()) == tag
            },
        );
        assert_eq!(Shared(&lines).line(0).tag().is_overflowed(), marked);
        assert_pairs(Shared(&lines));
    });
}

#[test]
fn who_has_found_a_condemned_flow_keeps_it() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, ESTABLISHED).expect("room");
        let table = Shared(&lines);
        let partner = peek(table, &outside(1).turned()).expect("held");
        condemn(partner).expect("nobody is there");
        let hit = known(table, 1);
        let (place, tag) = (hit.place, condemn(hit).expect("nobody is there"));
        let (removed, found) = both(
            &lines,
            move |table| remove(table, place, tag, tag.freed(), NOW),
            |table| matches!(find(table, &inside(1)), Ok(Some(_))),
        );
        let table = Shared(&lines);
        assert!(!(removed && found), "removed under a packet's hands");
        assert!(removed || found);
        assert_eq!(table.flows().len(), if removed { 0 } else { 2 });
        assert_pairs(table);
    });
}

#[test]
fn a_closed_connection_is_replaced_once() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, CLOSED).expect("room");
        let replaced = |table: Shared<'_>| match find(table, &inside(1)) {
            Ok(Some(hit)) => replace(table, hit, false, NOW) == Ok(true),
            Ok(None) | Err(Busy) => false,
        };
        let (one, other) = both(&lines, replaced, replaced);
        assert!(one != other, "it was replaced {} times", u8::from(one) + u8::from(other));
        let left = Shared(&lines).flows();
        assert_eq!(left.len(), 1);
        assert_ne!(left[0].tag.marks() & marks::QUARANTINED, 0);
    });
}

/// Two concurrent copies of the ACK that ends a handshake: the second must not take the
/// connection's number for the backend's SYN.
#[test]
fn a_handshake_ends_once() {
    explore(2, |lines| {
        let table = Shared(&lines);
        connect(table, 1, 1, HALF_OPEN).expect("room");
        let reply = peek(table, &outside(1).turned()).expect("held");
        let synack = segment(tcp::SYN | tcp::ACK, BACKEND_ISN, CLIENT_ISN + 1);
        track(table, reply, &synack, NOW);
        let end = |table: Shared<'_>| {
            let ack = segment(tcp::ACK, CLIENT_ISN + 1, BACKEND_ISN + 1);
            track(table, known(table, 1), &ack, NOW);
        };
        both(&lines, end, end);
        let (inside, outside) = (known(Shared(&lines), 1), outside(1).turned());
        let reply = peek(Shared(&lines), &outside).expect("held");
        assert_eq!(inside.tag.marks(), marks::SHAKEN);
        assert_eq!(reply.tag.marks(), marks::SHAKEN | marks::TO_CLIENT);
        assert_eq!((reply.line.extra(), inside.line.extra()), (CLIENT_ISN + 1, BACKEND_ISN));
        assert_pairs(Shared(&lines));
    });
}

/// A SYN, possibly spoofed, while the replies' next hop is being written: the partner exists, but
/// cannot be read.
#[test]
fn a_connection_whose_client_moves_is_not_replaced() {
    explore(2, |lines| {
        connect(Shared(&lines), 1, 1, ESTABLISHED).expect("room");
        let moves = |table: Shared<'_>| {
            if let Ok(Some(hit)) = find(table, &inside(1)) {
                relearn(table, hit, Hop::new([9; 6], [7; 6], 3));
            }
        };
        let opens = |table: Shared<'_>| match find(table, &inside(1)) {
            Ok(Some(hit)) => replace(table, hit, false, NOW) == Ok(true),
            Ok(None) | Err(Busy) => false,
        };
        let ((), replaced) = both(&lines, moves, opens);
        assert!(!replaced, "a live connection has made room");
        assert_eq!(Shared(&lines).flows().len(), 2);
        assert_pairs(Shared(&lines));
    });
}

fn segment(flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment { flags, sequence, acknowledgement, payload: 0 }
}
