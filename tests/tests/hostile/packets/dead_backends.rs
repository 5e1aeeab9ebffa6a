//! Connections of a backend that has lost power are rescheduled; those of a living one are not.

use std::time::Duration;

use lb_common::{event::Kind, stats::Incident};
use lb_tests::{
    frame::{Flags, Segment},
    object::Object,
};

use super::testbed::{VIP, backend, balancer, client, connect, forward, reply, shake_hands, syn};

const SECOND: Duration = Duration::from_secs(1);

/// Takes the first backend out of the ring.
fn leave(object: &mut Object, left: u32, is_down: bool) {
    object.serve(VIP, &[2, 3]);
    object.leave(1, left, is_down);
}

#[test]
#[ignore = "needs root"]
fn an_unanswered_syn_is_given_another_backend() {
    for is_down in [true, false] {
        let mut object = balancer();
        let opened = forward(&mut object, &syn(40_000));
        assert_eq!(opened.dst, backend(1));
        leave(&mut object, 77, is_down);
        let again = forward(&mut object, &syn(40_000));
        assert_ne!(again.dst, backend(1), "down: {is_down}");
        assert_eq!(object.incidents(Incident::Rescheduled), 1);
        let answered = reply(&mut object, &again.answer(Flags::SYN_ACK));
        assert_eq!(answered.dst, client(40_000));
        // Its next SYN stays there.
        assert_eq!(forward(&mut object, &syn(40_000)).dst, again.dst);
    }
}

#[test]
#[ignore = "needs root"]
fn a_syn_on_an_established_tuple_leaves_a_dead_backend() {
    for is_proven in [true, false] {
        let mut object = balancer();
        let opened =
            if is_proven { connect(&mut object, 40_000) } else { shake_hands(&mut object, 40_000) };
        leave(&mut object, 77, true);
        let data = forward(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK));
        assert_eq!(data.dst, opened.dst, "only a SYN starts over");
        object.pass_time(SECOND);
        assert_eq!(forward(&mut object, &syn(40_000)).dst, opened.dst, "it may be alive");
        object.pass_time(SECOND);
        assert_ne!(forward(&mut object, &syn(40_000)).dst, opened.dst);
    }
}

/// Linux answers one SYN in half a second by a challenge ACK, and is silent on the others.
#[test]
#[ignore = "needs root"]
fn spoofed_syns_in_a_row_end_no_connection_of_a_living_backend() {
    for is_down in [true, false] {
        let mut object = balancer();
        let opened = connect(&mut object, 40_000);
        leave(&mut object, 77, is_down);
        object.pass_time(5 * SECOND);
        for (is_answered, pause) in [(true, 100), (false, 650), (true, 100), (false, 650)] {
            let spoofed = forward(&mut object, &syn(40_000));
            assert_eq!((spoofed.src, spoofed.dst), (opened.src, opened.dst), "down: {is_down}");
            if is_answered {
                reply(&mut object, &opened.answer(Flags::ACK));
            }
            object.pass_time(Duration::from_millis(pause));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_backend_that_is_only_out_of_the_ring_keeps_its_connections() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    leave(&mut object, 77, false);
    let again = forward(&mut object, &syn(40_000));
    assert_eq!((again.src, again.dst), (opened.src, opened.dst));
    assert_eq!(object.incidents(Incident::Rescheduled), 0);
}

/// An operator may have taken the backend out of its services, which does not mean that it is down:
/// if it is up, it answers a SYN on its connection by a challenge ACK.
#[test]
#[ignore = "needs root"]
fn a_syn_that_is_asked_in_vain_leaves_a_backend_that_is_out() {
    for is_proven in [true, false] {
        let mut object = balancer();
        let opened =
            if is_proven { connect(&mut object, 40_000) } else { shake_hands(&mut object, 40_000) };
        leave(&mut object, 77, false);
        for is_alive in [true, false] {
            assert_eq!(forward(&mut object, &syn(40_000)).dst, opened.dst);
            assert_eq!(forward(&mut object, &syn(40_000)).dst, opened.dst, "at once");
            if is_alive {
                reply(&mut object, &opened.answer(Flags::ACK));
            }
            object.pass_time(SECOND);
        }
        assert_ne!(forward(&mut object, &syn(40_000)).dst, opened.dst);
    }
}

/// While it is in the ring, its checks decide.
#[test]
#[ignore = "needs root"]
fn a_syn_that_is_asked_in_vain_stays_with_a_backend_that_is_in() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    for _ in 0..3 {
        assert_eq!(forward(&mut object, &syn(40_000)).dst, opened.dst);
        object.pass_time(SECOND);
    }
}

/// A spoofed SYN while a check flaps must not cut a living connection.
#[test]
#[ignore = "needs root"]
fn a_backend_that_speaks_keeps_its_connections() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let unanswered =
        (40_001..40_100).find(|port| forward(&mut object, &syn(*port)).dst == backend(1));
    leave(&mut object, 77, true);
    reply(&mut object, &opened.answer(Flags::ACK));
    for port in [Some(40_000), unanswered].into_iter().flatten() {
        assert_eq!(forward(&mut object, &syn(port)).dst, backend(1));
    }
    // It came back, and left again: packets from before no longer count.
    object.leave(1, 0, false);
    leave(&mut object, 78, true);
    let unanswered = unanswered.expect("a port");
    assert_ne!(forward(&mut object, &syn(unanswered)).dst, backend(1));
}

#[test]
#[ignore = "needs root"]
fn silence_hurries_the_checker_and_ejects_nobody() {
    let mut object = balancer();
    for _ in 0..10 {
        assert_eq!(forward(&mut object, &syn(40_000)).dst, backend(1));
    }
    let events = object.events();
    assert!(!events.is_empty(), "it is told");
    assert!(events.iter().all(|event| event.kind == Kind::Silent as u32 && event.backend == 1));
    assert_eq!(object.refusals(1), 0);
    let chosen = (0..3).map(|nth| forward(&mut object, &syn(41_000 + nth)).dst);
    assert!(chosen.collect::<Vec<_>>().contains(&backend(1)));
}
