//! All CPUs, more connections than the table has room for, and the sweeper: no packet ever gets
//! another connection's rewrite.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use lb_common::{flow::flags_seen, stats::Incident};
use lb_dataplane::{Expiry, Search};
use lb_model::Timeouts;
use lb_tests::{
    conversations::End,
    frame::{Flags, Segment},
    object::{Action, Object},
};

use crate::testbed::{VIP, balancer_with, client, cpus, stay_on, syn};

/// Connections that each CPU opens, one after another.
const ROUNDS: u32 = 20_000;

/// Connections that each CPU has open at a time.
const OPEN: u16 = 64;

/// Connections that the table has room for, on each CPU: so few that some are evicted, and so many that others
/// time out.
const ROOM: u32 = 3 * OPEN as u32;

const PORTS: u16 = 400;

/// Maximum number of retransmissions of a dropped segment.
const TRIES: u32 = 20;

/// Number of successful operations.
#[derive(Default)]
struct Tally {
    forwarded: AtomicU64,
    replied: AtomicU64,
}

/// A connection whose handshake is complete.
struct Open {
    port: u16,
    /// A frame of it as sent to the backend.
    outside: Segment,
}

#[test]
#[ignore = "needs root"]
fn no_packet_gets_anothers_rewrite() {
    let object = balancer_with(ROOM * u32::try_from(cpus()).expect("few"), PORTS);
    let (tally, goes_on) = (Tally::default(), AtomicBool::new(true));
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| sweep(&object, &goes_on));
        let end = End(&goes_on);
        let hammers: Vec<_> = (0..cpus())
            .map(|cpu| {
                let (object, tally) = (&object, &tally);
                scope.spawn(move || hammer(object, cpu, tally))
            })
            .collect();
        for hammer in hammers {
            hammer.join().expect("no panic");
        }
        drop(end);
        assert!(sweeper.join().expect("no panic") > 0, "nothing has timed out");
    });
    let rounds = u64::from(ROUNDS) * cpus() as u64;
    assert!(tally.forwarded.load(Ordering::Relaxed) > rounds, "hardly anything was forwarded");
    assert!(tally.replied.load(Ordering::Relaxed) > rounds, "hardly anything was replied to");
    assert!(object.incidents(Incident::EvictedClosed) > 0);
    assert!(object.incidents(Incident::EvictedHalfOpen) > 0);
    assert_eq!(object.incidents(Incident::EvictedEstablished), 0);
    assert_no_half_pairs(&object);
    assert_active_are_counted(&object);
}

/// Opens, uses and closes connections, a few at a time, and abandons some attempts.
fn hammer(object: &Object, cpu: usize, tally: &Tally) {
    stay_on(cpu);
    let first = 10_000 + u16::try_from(cpu).expect("few") * 20_000;
    let mut open: HashMap<u16, Open> = HashMap::new();
    for round in 0..ROUNDS {
        let slot = u16::try_from(round % u32::from(OPEN)).expect("few");
        if let Some(connection) = open.remove(&slot) {
            close(object, &connection, tally, round);
        }
        // Makes many clients return with a port that they have used, and many not.
        let port = first + slot + u16::try_from(round % 7).expect("few") * OPEN;
        if round.is_multiple_of(3) {
            let _ = object.run_uncounted(&syn(port + 10 * OPEN).frame());
        }
        if let Some(connection) = connect(object, port) {
            open.insert(slot, connection);
        }
        let other = u16::try_from(round.wrapping_mul(7) % u32::from(OPEN)).expect("few");
        if let Some(connection) = open.get(&other) {
            exchange(object, connection, tally);
        }
    }
}

/// Returns `None` if another connection interfered; a client would try again.
fn connect(object: &Object, port: u16) -> Option<Open> {
    let outside = sent(object, &syn(port))?;
    sent(object, &outside.answer(Flags::SYN_ACK))?;
    let established = sent(object, &Segment::new(client(port), VIP, Flags::ACK))?;
    if established.flags.rst {
        return None;
    }
    // Until the backend has sent data, others may take its port.
    if (established.src, established.dst) != (outside.src, outside.dst) {
        return None;
    }
    let welcome = sent(object, &outside.answer(Flags::ACK).with_payload(b"welcome"))?;
    // From here on no other connection may end this one.
    assert_eq!((welcome.src, welcome.dst), (VIP, client(port)));
    Some(Open { port, outside })
}

/// Sends a segment of either side.
fn exchange(object: &Object, connection: &Open, tally: &Tally) {
    let Open { port, outside } = connection;
    let there = sent(object, &Segment::new(client(*port), VIP, Flags::ACK)).expect("known");
    assert_eq!((there.src, there.dst), (outside.src, outside.dst));
    tally.forwarded.fetch_add(1, Ordering::Relaxed);
    let back = sent(object, &outside.answer(Flags::ACK)).expect("known");
    assert_eq!((back.src, back.dst), (VIP, client(*port)));
    tally.replied.fetch_add(1, Ordering::Relaxed);
}

fn close(object: &Object, connection: &Open, tally: &Tally, round: u32) {
    exchange(object, connection, tally);
    let Open { port, outside } = connection;
    if round.is_multiple_of(2) {
        sent(object, &Segment::new(client(*port), VIP, Flags::RST)).expect("known");
        return;
    }
    sent(object, &Segment::new(client(*port), VIP, Flags::FIN)).expect("known");
    sent(object, &outside.answer(Flags::FIN)).expect("known");
}

/// Returns a segment as it was sent on or answered.
pub fn sent(object: &Object, segment: &Segment) -> Option<Segment> {
    // Another CPU may hold a line at any moment; the sender would retransmit.
    for _ in 0..TRIES {
        match object.run_uncounted(&segment.frame()) {
            (Action::Tx, frame) => return Some(Segment::read(&frame)),
            (Action::Drop, _) => {}
            _ => return None,
        }
    }
    None
}

/// Removes closed connections at once; returns the number of removed ones.
pub fn sweep(object: &Object, goes_on: &AtomicBool) -> u64 {
    let mut sweeper = object.sweeper();
    let mut expired = 0;
    while goes_on.load(Ordering::Relaxed) {
        expired += sweeper.sweep(lb_dataplane::now(), &expiry(), &Search::default(), None).expired;
        // Far longer than a packet takes.
        thread::sleep(Duration::from_millis(20));
    }
    expired
}

fn expiry() -> Expiry {
    let closed = Timeouts { closed: Duration::from_millis(1), ..Timeouts::default() };
    (1..=3).map(|id| (id, closed)).collect()
}

/// A sweep during traffic may confuse connections that came or went meanwhile, but no more.
fn assert_active_are_counted(object: &Object) {
    const CAME_AND_WENT: u64 = 10;
    let flows = object.flows();
    let active = |id| {
        let its =
            flows.values().filter(|(tag, flow)| tag.is_active() && flow.flow.pair.backend() == id);
        i64::try_from(its.count()).expect("few")
    };
    for id in 1..=3 {
        let (counted, active) = (object.active(id), active(id));
        assert!(counted.abs_diff(active) <= CAME_AND_WENT, "{counted} of {active}");
    }
    object.sweeper().sweep(lb_dataplane::now(), &expiry(), &Search::default(), None);
    assert!((1..=3).all(|id| object.active(id) == active(id)));
}

pub fn assert_no_half_pairs(object: &Object) {
    let flows = object.flows();
    for (key, (tag, flow)) in &flows {
        if tag.flags_seen() & flags_seen::QUARANTINED != 0 {
            continue;
        }
        let partner = flows.get(&flow.partner()).expect("a partner").1;
        assert_eq!(partner.partner(), *key);
    }
}
