//! Ends of connections, as the program tells them for the connection log.

use std::{cell::RefCell, thread, time::Duration};

use lb_common::{
    ended::{Ended, How, Wanted},
    mapped,
    reason::Reason,
    stats::{Count, Incident},
};
use lb_dataplane::{Expiry, Search, Sweeper};
use lb_model::Timeouts;
use lb_tests::{
    frame::{Flags, Segment},
    object::Object,
};

use crate::testbed::{
    SOURCE, VIP, balancer, balancer_with, client, configured, connect, forward, reply, syn,
};

const ALL: Wanted = Wanted { each: u32::MAX, unbegun: 1 };
const BEGUN: Wanted = Wanted { each: u32::MAX, unbegun: 0 };

/// Lets the backend reset a connection, and the client open another one in its place.
fn replace(object: &mut Object, port: u16) -> Segment {
    let first = connect(object, port);
    reply(object, &first.answer(Flags::RST));
    forward(object, &syn(port));
    first
}

fn hows(ended: &[Ended]) -> Vec<Option<How>> {
    ended.iter().map(Ended::how).collect()
}

#[test]
#[ignore = "needs root"]
fn a_replaced_connection_is_told_with_its_addresses() {
    let mut object = balancer();
    object.want_ends(BEGUN);
    let first = replace(&mut object, 40_000);
    let ended = object.ended();
    assert_eq!(hows(&ended), [Some(How::BackendReset)]);
    let found = ended[0];
    assert_eq!(found.client, mapped(client(40_000).ip().octets()));
    assert_eq!(u16::from_be_bytes(found.client_port), 40_000);
    assert_eq!((found.vip, found.vip_port), (mapped(VIP.ip().octets()), 80_u16.to_be_bytes()));
    assert_eq!(found.source, mapped(SOURCE.octets()));
    assert_eq!(u16::from_be_bytes(found.source_port), first.src.port());
    assert_eq!(found.backend, mapped(first.dst.ip().octets()));
    assert_eq!(u16::from_be_bytes(found.backend_port), first.dst.port());
    assert_eq!((found.inbound, found.outbound), (Count::default(), Count::default()));
}

#[test]
#[ignore = "needs root"]
fn its_packets_are_told_if_they_are_counted() {
    let mut object = configured(Object::accounting(1_000), 100);
    object.want_ends(BEGUN);
    replace(&mut object, 40_000);
    let [Ended { inbound, outbound, .. }] = object.ended()[..] else { panic!("one") };
    assert_eq!(inbound, Count { packets: 2, bytes: 80 }, "SYN and ACK");
    assert_eq!(outbound, Count { packets: 3, bytes: 127 }, "SYN-ACK, seven bytes, and RST");
}

#[test]
#[ignore = "needs root"]
fn nothing_is_told_that_is_not_wanted() {
    let mut object = balancer();
    replace(&mut object, 40_000);
    assert_eq!(object.ended(), []);
    object.want_ends(Wanted { each: 1, unbegun: 0 });
    // Of another window, if a window ends meanwhile.
    for port in 40_001..40_010 {
        replace(&mut object, port);
    }
    let told = object.ended().len() as u64;
    assert!((1..9).contains(&told), "{told}");
    assert_eq!(object.incidents(Incident::NotLogged), 9 - told);
}

/// A flood evicts handshakes, which are told only if somebody wants them.
#[test]
#[ignore = "needs root"]
fn what_a_flood_evicts_is_told_once() {
    const FLOOD: u16 = 3_000;
    for (wanted, is_told) in [(BEGUN, false), (ALL, true)] {
        let mut object = balancer_with(1_000, 300);
        object.want_ends(wanted);
        let mut ended = Vec::new();
        for port in 0..FLOOD {
            let _ = object.run(&syn(10_000 + port).frame());
            ended.extend(object.ended());
        }
        let evicted = object.incidents(Incident::EvictedHalfOpen);
        assert!(evicted > 0);
        assert_eq!(object.incidents(Incident::NotLogged), 0);
        let expected = if is_told { evicted } else { 0 };
        assert_eq!(ended.len() as u64, expected);
        assert!(hows(&ended).iter().all(|how| *how == Some(How::Evicted)), "{ended:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_connection_whose_port_is_needed_is_told() {
    let mut object = balancer_with(1_000, 1);
    object.want_ends(BEGUN);
    let opened: Vec<_> = (0..3).map(|nth| connect(&mut object, 40_000 + nth)).collect();
    for (one, port) in opened.iter().zip(40_000..) {
        reply(&mut object, &one.answer(Flags::FIN));
        forward(&mut object, &Segment::new(client(port), VIP, Flags::FIN));
    }
    for port in 41_000..41_003 {
        forward(&mut object, &syn(port));
    }
    let ended = object.ended();
    assert_eq!(hows(&ended), [Some(How::Closed); 3], "{ended:?}");
}

/// A sweeper, and what it tells.
struct Sweeps {
    sweeper: Sweeper,
    told: RefCell<Vec<Ended>>,
}

impl Sweeps {
    fn of(object: &Object) -> Self {
        Self { sweeper: object.sweeper(), told: RefCell::default() }
    }

    /// Sweeps, and returns how the connections that it told of have ended.
    fn sweep(&mut self, expiry: &Expiry) -> Vec<Ended> {
        let tell = |ended| self.told.borrow_mut().push(ended);
        self.sweeper.sweep(lb_dataplane::now(), expiry, &Search::default(), Some(&tell));
        let mut ended = self.told.take();
        ended.sort_by_key(|one| one.client_port);
        ended
    }
}

fn usual() -> Expiry {
    (1..=3).map(|id| (id, Timeouts::default())).collect()
}

#[test]
#[ignore = "needs root"]
fn a_sweep_tells_of_connections_that_have_timed_out() {
    let mut object = configured(Object::accounting(1_000), 100);
    connect(&mut object, 40_000);
    let refused = forward(&mut object, &syn(40_001));
    let answer = object.run(&refused.answer(Flags::RST_ACK).frame());
    assert_eq!(answer.reason, Reason::Refused, "the client tries again");
    forward(&mut object, &syn(40_002));
    let mut sweeps = Sweeps::of(&object);
    assert_eq!(sweeps.sweep(&usual()), []);
    object.pass_time(Duration::from_hours(24));
    let ended = [(); 3].map(|()| sweeps.sweep(&usual())).concat();
    assert_eq!(hows(&ended), [How::IdleTimeout, How::Retried, How::NoAnswer].map(Some));
    assert_eq!(ended[0].inbound.packets, 2);
    connect(&mut object, 40_003);
    // A sweep spares what has come after it began.
    let opened = lb_dataplane::now();
    while lb_dataplane::now() == opened {
        thread::yield_now();
    }
    assert_eq!(hows(&sweeps.sweep(&Expiry::new())), [Some(How::BackendGone)]);
}

/// Not only when it is removed, a minute later.
#[test]
#[ignore = "needs root"]
fn a_closed_connection_is_told_soon_and_once() {
    let mut object = balancer();
    object.want_ends(BEGUN);
    let mut sweeps = Sweeps::of(&object);
    let first = connect(&mut object, 40_000);
    reply(&mut object, &first.answer(Flags::RST));
    assert_eq!(sweeps.sweep(&usual()), [], "late copies may come");
    object.pass_time(Duration::from_secs(2));
    assert_eq!(hows(&sweeps.sweep(&usual())), [Some(How::BackendReset)]);
    assert_eq!(sweeps.sweep(&usual()), []);
    forward(&mut object, &syn(40_000));
    assert_eq!(object.ended(), [], "the sweep has told of it");
    object.pass_time(Duration::from_hours(24));
    let again = [(); 3].map(|()| sweeps.sweep(&usual())).concat();
    assert_eq!(hows(&again), [Some(How::NoAnswer)], "of the second one");
}

#[test]
#[ignore = "needs root"]
fn a_connection_that_goes_on_after_a_reset_ends_once_more() {
    let mut object = balancer();
    let mut sweeps = Sweeps::of(&object);
    let opened = connect(&mut object, 40_000);
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::RST));
    object.pass_time(Duration::from_secs(2));
    assert_eq!(hows(&sweeps.sweep(&usual())), [Some(How::ClientReset)]);
    reply(&mut object, &opened.answer(Flags::ACK).with_payload(b"still here"));
    assert_eq!(sweeps.sweep(&usual()), []);
    object.pass_time(Duration::from_hours(24));
    let again = [(); 2].map(|()| sweeps.sweep(&usual())).concat();
    assert_eq!(hows(&again), [Some(How::IdleTimeout)]);
}
