//! A refused connection is rescheduled, and a backend that refuses is skipped.

use std::collections::BTreeSet;

use lb_common::{
    event::{Kind, REFUSALS},
    reason::Reason,
    schedule::Scheduler,
    stats::Incident,
};
use lb_tests::{
    frame::{CLIENT_ISN, Flags, Segment},
    object::{Action, Object},
};

use super::{
    spoofed,
    testbed::{VIP, backend, balancer, balancer_with, forward, reply, sent, shake_hands, syn},
};

const SCHEDULERS: [Scheduler; 6] = [
    Scheduler::RoundRobin,
    Scheduler::RoundRobinPerCpu,
    Scheduler::LeastConnections,
    Scheduler::Random,
    Scheduler::SourceHash,
    Scheduler::Maglev,
];

fn refusal(opened: &Segment) -> Segment {
    Segment { sequence: 0, ..opened.answer(Flags::RST_ACK) }
}

fn id_of(opened: &Segment) -> u32 {
    (1..=3).find(|id| backend(*id) == opened.dst).expect("one of ours").into()
}

fn assert_swallowed(object: &mut Object, refusal: &Segment) {
    let run = object.run(&refusal.frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::Refused));
}

/// Returns a client's first SYN, as its backend gets it.
fn open(object: &mut Object, nth: u32) -> Segment {
    let syn = Segment::new(spoofed(nth), VIP, Flags::SYN);
    sent(&object.run(&syn.frame()), Reason::Forwarded)
}

/// Makes a backend refuse this many new connections, while the others accept theirs.
fn refuse(object: &mut Object, id: u8, times: u32) {
    let mut refused = 0;
    for nth in 10_000..11_000 {
        let opened = open(object, nth);
        if opened.dst != backend(id) {
            reply(object, &opened.answer(Flags::SYN_ACK));
            continue;
        }
        object.run(&refusal(&opened).frame());
        refused += 1;
        if refused == times {
            return;
        }
    }
    panic!("none of 1,000 clients goes to backend {id} any more, after {refused} refusals");
}

#[test]
#[ignore = "needs root"]
fn the_clients_next_syn_goes_elsewhere() {
    let mut object = balancer();
    let first = forward(&mut object, &syn(40_000));
    assert_swallowed(&mut object, &refusal(&first));
    let second = forward(&mut object, &syn(40_000));
    assert_ne!(second.dst, first.dst);
    assert_eq!(object.incidents(Incident::Refused), 1);
    assert_eq!(object.incidents(Incident::Rescheduled), 1);
    let late = object.run(&refusal(&first).frame());
    assert_eq!((late.action, late.reason), (Action::Drop, Reason::Quarantined));
    reply(&mut object, &second.answer(Flags::SYN_ACK));
}

/// Data in the SYN is acknowledged with it (TCP Fast Open).
#[test]
#[ignore = "needs root"]
fn a_refusal_may_acknowledge_data() {
    for (payload, is_refusal) in [(0, true), (1, true), (1_400, true), (70_000, false)] {
        let mut object = balancer();
        let opened = forward(&mut object, &syn(40_000));
        let acknowledgement = CLIENT_ISN + 1 + payload;
        let reset = Segment { acknowledgement, ..refusal(&opened) };
        let reason = if is_refusal { Reason::Refused } else { Reason::Replied };
        assert_eq!(object.run(&reset.frame()).reason, reason, "{payload}");
    }
}

#[test]
#[ignore = "needs root"]
fn the_third_refusal_is_passed_on() {
    for scheduler in SCHEDULERS {
        let mut object = balancer();
        object.schedule(VIP, scheduler, &[1, 2, 3]);
        let mut tried = BTreeSet::new();
        for nth in 1..=3 {
            let opened = forward(&mut object, &syn(40_000));
            tried.insert(opened.dst);
            if nth < 3 {
                assert_swallowed(&mut object, &refusal(&opened));
            } else {
                let passed = reply(&mut object, &refusal(&opened));
                assert!(passed.flags.rst && passed.src == VIP);
            }
        }
        assert_eq!(tried.len(), 3, "{scheduler:?} {tried:?}");
        // The client's next attempt is treated like any other.
        let opened = forward(&mut object, &syn(40_000));
        assert_swallowed(&mut object, &refusal(&opened));
    }
}

#[test]
#[ignore = "needs root"]
fn the_last_backends_refusal_is_passed_on() {
    for ring in [&[1][..], &[1, 1, 1], &[1, 2]] {
        let mut object = balancer();
        object.serve(VIP, ring);
        let backends = ring.iter().collect::<BTreeSet<_>>().len();
        for _ in 1..backends {
            let opened = forward(&mut object, &syn(40_000));
            assert_swallowed(&mut object, &refusal(&opened));
        }
        let last = forward(&mut object, &syn(40_000));
        assert!(reply(&mut object, &refusal(&last)).flags.rst, "{ring:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_service_may_have_its_clients_told() {
    let mut object = balancer();
    object.pass_refusals(VIP);
    let opened = forward(&mut object, &syn(40_000));
    assert!(reply(&mut object, &refusal(&opened)).flags.rst);
    assert_eq!(object.incidents(Incident::Refused), 1);
}

/// `tcp_abort_on_overflow`, or a server that is killed with connections in its queue.
#[test]
#[ignore = "needs root"]
fn a_reset_after_the_syn_ack_is_the_clients_to_know() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    for flags in [Flags::RST_ACK, Flags::RST] {
        assert!(reply(&mut object, &opened.answer(flags)).flags.rst);
    }
    let taken = shake_hands(&mut object, 40_001);
    assert!(reply(&mut object, &taken.answer(Flags::RST_ACK)).flags.rst);
    assert_eq!((1..=3).map(|id| object.refusals(id)).sum::<u32>(), 0);
}

#[test]
#[ignore = "needs root"]
fn every_scheduler_passes_over_a_backend_that_refuses() {
    for scheduler in SCHEDULERS {
        for ring in [&[1, 2, 3][..], &[1, 1, 1, 1, 2, 1, 3]] {
            let mut object = balancer_with(10_000, 60_000);
            object.schedule(VIP, scheduler, ring);
            refuse(&mut object, 1, REFUSALS);
            let chosen: BTreeSet<_> = (0..200).map(|nth| id_of(&open(&mut object, nth))).collect();
            assert_eq!(chosen, BTreeSet::from([2, 3]), "{scheduler:?} {ring:?}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_service_is_never_without_a_backend() {
    for scheduler in SCHEDULERS {
        let mut object = balancer_with(10_000, 60_000);
        object.schedule(VIP, scheduler, &[1, 2, 3]);
        let mut nth = 0;
        while (1..=3).any(|id| object.refusals(id) < REFUSALS) {
            nth += 1;
            assert!(nth < 2_000, "{scheduler:?}: all have refused often enough");
            let opened = open(&mut object, nth);
            if object.refusals(id_of(&opened)) < REFUSALS {
                object.run(&refusal(&opened).frame());
            }
        }
        for nth in 0..50 {
            open(&mut object, 10_000 + nth);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_syn_ack_ends_it() {
    let mut object = balancer();
    let waiting = forward(&mut object, &syn(19_000));
    assert_eq!(waiting.dst, backend(1));
    refuse(&mut object, 1, REFUSALS);
    assert_eq!(object.refusals(1), REFUSALS);
    reply(&mut object, &waiting.answer(Flags::SYN_ACK));
    assert_eq!(object.refusals(1), 0);
    let chosen: BTreeSet<_> =
        (0..6).map(|nth| id_of(&forward(&mut object, &syn(50_000 + nth)))).collect();
    assert_eq!(chosen, BTreeSet::from([1, 2, 3]));
}

#[test]
#[ignore = "needs root"]
fn the_checker_is_told_once() {
    let mut object = balancer();
    refuse(&mut object, 1, REFUSALS - 1);
    let refusing = |object: &mut Object| {
        let mut events = object.events();
        events.retain(|event| event.kind == Kind::Refusing as u32);
        events
    };
    assert!(refusing(&mut object).is_empty());
    let more: Vec<_> = (0..9).map(|nth| forward(&mut object, &syn(50_000 + nth))).collect();
    for opened in more.iter().filter(|opened| opened.dst == backend(1)) {
        object.run(&refusal(opened).frame());
    }
    let events = refusing(&mut object);
    assert_eq!(events.iter().map(|event| event.backend).collect::<Vec<_>>(), [1]);
}

/// Only a backend itself can be seen to refuse.
#[test]
#[ignore = "needs root"]
fn clients_cannot_eject_a_backend() {
    let mut object = balancer_with(10_000, 60_000);
    for port in 10_000..11_000 {
        let opened = sent(&object.run(&syn(port).frame()), Reason::Forwarded);
        if port % 2 == 0 {
            // A backend in SYN-RECEIVED answers a wrong ACK by a reset of its number.
            reply(&mut object, &opened.answer(Flags::SYN_ACK));
            let reset = opened.answer(Flags::RST);
            reply(&mut object, &Segment { sequence: 77, ..reset });
        }
    }
    assert_eq!((1..=3).map(|id| object.refusals(id)).sum::<u32>(), 0);
}

/// A client can make a healthy server refuse its SYNs; the daemon notices, and has as many of the
/// next refusals ignored.
#[test]
#[ignore = "needs root"]
fn refusals_that_were_a_false_alarm_do_not_count_at_once() {
    let mut object = balancer();
    object.mapped_refusals().ignore(1, 5);
    refuse(&mut object, 1, 5);
    assert_eq!(object.refusals(1), 0);
    let opened = open(&mut object, 20_000);
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    refuse(&mut object, 1, REFUSALS);
    assert_eq!(object.refusals(1), REFUSALS);
    for nth in 0..30 {
        assert_ne!(open(&mut object, 30_000 + nth).dst, backend(1));
    }
}
