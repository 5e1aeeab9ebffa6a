//! Connections that end, and tuples that are reused.

use lb_common::{
    flow::{State, flags_seen},
    reason::Reason,
    stats::Incident,
};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, Object},
};

use crate::testbed::{VIP, backend, balancer, client, connect, forward, reply, states, syn};

fn close_by_fins(object: &mut Object, opened: &Segment) {
    reply(object, &opened.answer(Flags::FIN));
    forward(object, &Segment::new(client(40_000), VIP, Flags::FIN));
    reply(object, &opened.answer(Flags::ACK));
}

#[test]
#[ignore = "needs root"]
fn both_entries_follow_the_connection() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    assert_eq!(states(&object), [State::HalfOpen; 2]);
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    assert_eq!(states(&object), [State::HalfOpen; 2]);
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK));
    assert_eq!(states(&object), [State::Answered; 2]);
    reply(&mut object, &opened.answer(Flags::ACK).with_payload(b"welcome"));
    assert_eq!(states(&object), [State::Established; 2]);
    reply(&mut object, &opened.answer(Flags::FIN));
    assert_eq!(states(&object), [State::Closing; 2]);
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::FIN));
    assert_eq!(states(&object), [State::Closed; 2]);
}

#[test]
#[ignore = "needs root"]
fn a_reset_of_either_side_closes() {
    for by_client in [true, false] {
        let mut object = balancer();
        let opened = connect(&mut object, 40_000);
        if by_client {
            forward(&mut object, &Segment::new(client(40_000), VIP, Flags::RST));
        } else {
            reply(&mut object, &opened.answer(Flags::RST));
        }
        assert_eq!(states(&object), [State::Closed; 2]);
    }
}

/// Otherwise clients that reset, and use their port again, would stay on a backend that is drained:
/// kubernetes/kubernetes#81775.
#[test]
#[ignore = "needs root"]
fn a_syn_after_the_clients_own_reset_is_a_new_connection() {
    for (beyond, is_own) in [(0, true), (1, false)] {
        let mut object = balancer();
        let old = connect(&mut object, 40_000);
        let reset = Segment::new(client(40_000), VIP, Flags::RST);
        forward(&mut object, &Segment { sequence: reset.sequence + beyond, ..reset });
        let new = forward(&mut object, &syn(40_000));
        assert_eq!((new.src, new.dst) != (old.src, old.dst), is_own, "{beyond}");
        assert_eq!(object.incidents(Incident::Rescheduled), 0);
    }
}

/// As in Linux if the backend has the tuple in TIME-WAIT: RFC 5961, section 4.2.
#[test]
#[ignore = "needs root"]
fn a_syn_after_a_challenge_ack_comes_by_the_same_port() {
    let mut object = balancer();
    let first = forward(&mut object, &syn(40_000));
    reply(&mut object, &first.answer(Flags::ACK));
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::RST));
    assert_eq!(states(&object), [State::HalfOpen; 2]);
    let second = forward(&mut object, &syn(40_000));
    assert_eq!((second.src, second.dst), (first.src, first.dst));
    reply(&mut object, &second.answer(Flags::SYN_ACK));
}

#[test]
#[ignore = "needs root"]
fn a_reset_that_nobody_heeds_does_not_close_for_good() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::RST));
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK));
    assert_eq!(states(&object), [State::Closed; 2]);
    reply(&mut object, &opened.answer(Flags::ACK));
    assert_eq!(states(&object), [State::Established; 2]);
}

#[test]
#[ignore = "needs root"]
fn a_syn_on_a_closed_tuple_is_a_new_connection_on_another_port() {
    let mut object = balancer();
    let old = connect(&mut object, 40_000);
    close_by_fins(&mut object, &old);
    let new = forward(&mut object, &syn(40_000));
    assert_eq!(new.dst, backend(2));
    let late = object.run(&old.answer(Flags::ACK).frame());
    assert_eq!((late.action, late.reason), (Action::Drop, Reason::Quarantined));
    let quarantined = object
        .flows()
        .values()
        .filter(|(tag, _)| tag.flags_seen() & flags_seen::QUARANTINED != 0)
        .count();
    assert_eq!(quarantined, 1);
    reply(&mut object, &new.answer(Flags::SYN_ACK));
}

#[test]
#[ignore = "needs root"]
fn a_syn_on_a_living_tuple_is_not() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let again = forward(&mut object, &syn(40_000));
    assert_eq!((again.src, again.dst), (opened.src, opened.dst));
}

#[test]
#[ignore = "needs root"]
fn a_syn_from_a_backend_leaves_the_pair_whole() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    close_by_fins(&mut object, &opened);
    let run = object.run(&opened.answer(Flags::SYN).frame());
    assert_eq!(run.reason, Reason::Replied);
    assert_eq!(states(&object), [State::Closed; 2]);
}
