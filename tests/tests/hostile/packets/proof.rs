//! A connection is established when its backend has confirmed it.

use lb_common::{
    flow::{FlowKey, State},
    reason::Reason,
    stats::Incident,
};
use lb_tests::{
    frame::{BACKEND_ISN, CLIENT_ISN, Flags, Segment},
    object::{Action, INGRESS, Object},
};
use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::{
    crafted::with_wrong_checksum,
    spoofed,
    testbed::{
        FIRST_PORT, VIP, backend, balancer, client, connect, forward, key_from, key_of, reply,
        sent, shake_hands, syn,
    },
};

const MINUTE: Duration = Duration::from_mins(1);

fn one_backend(ports: u16) -> Object {
    let mut object = Object::load(1_000);
    object.source(0, Ipv4Addr::new(10, 0, 0, 1), FIRST_PORT, ports);
    object.backend(1, backend(1), INGRESS, (0, 1));
    object.serve(VIP, &[1]);
    object
}

fn state(object: &Object, port: u16) -> Option<State> {
    object.state(&key_of(port))
}

#[test]
#[ignore = "needs root"]
fn a_wrong_acknowledgement_ends_no_handshake() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    for acknowledgement in [0, BACKEND_ISN, BACKEND_ISN + 2, CLIENT_ISN + 1, u32::MAX] {
        let ack = Segment::new(client(40_000), VIP, Flags::ACK);
        let data = Segment { acknowledgement, ..ack }.with_payload(b"data");
        forward(&mut object, &data);
        assert_eq!(state(&object, 40_000), Some(State::HalfOpen), "{acknowledgement}");
    }
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK));
    assert_eq!(state(&object, 40_000), Some(State::Answered));
}

/// An attacker who sees the answers knows the number, and falsifies the checksum so that the
/// backend never learns of the connection.
#[test]
#[ignore = "needs root"]
fn a_wrong_checksum_establishes_nothing() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    let ack = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(b"data");
    for _ in 0..10 {
        assert_eq!(object.run(&with_wrong_checksum(&ack)).reason, Reason::Forwarded);
    }
    assert_eq!(state(&object, 40_000), Some(State::Answered));
    // It still waits for the ACK, and sends its SYN-ACK again.
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    assert_eq!(state(&object, 40_000), Some(State::HalfOpen));
}

/// Linux in SYN-RECEIVED answers a second SYN by a bare ACK.
#[test]
#[ignore = "needs root"]
fn a_bare_ack_of_the_backend_proves_nothing() {
    let mut object = balancer();
    let opened = shake_hands(&mut object, 40_000);
    for sequence in [CLIENT_ISN, 5, u32::MAX] {
        forward(&mut object, &Segment { sequence, ..syn(40_000) });
        reply(&mut object, &opened.answer(Flags::ACK));
        assert_eq!(state(&object, 40_000), Some(State::Answered));
    }
}

#[test]
#[ignore = "needs root"]
fn data_and_its_acknowledgement_prove_a_connection() {
    let mut object = balancer();
    let opened = shake_hands(&mut object, 40_000);
    let bare = opened.answer(Flags::ACK);
    reply(&mut object, &Segment { acknowledgement: CLIENT_ISN + 11, ..bare });
    assert_eq!(state(&object, 40_000), Some(State::Established));
    connect(&mut object, 40_001);
    assert_eq!(state(&object, 40_001), Some(State::Established));
}

/// Opens a connection that its backend never confirms, and returns the SYN as the backend gets it.
fn spoof(object: &mut Object, nth: u32, is_number_known: bool) -> Segment {
    let syn = Segment::new(spoofed(nth), VIP, Flags::SYN);
    let opened = sent(&object.run(&syn.frame()), Reason::Forwarded);
    reply(object, &opened.answer(Flags::SYN_ACK));
    let mut ack = Segment::new(spoofed(nth), VIP, Flags::ACK);
    ack.acknowledgement += u32::from(!is_number_known);
    object.run(&with_wrong_checksum(&ack));
    opened
}

#[test]
#[ignore = "needs root"]
fn spoofed_clients_do_not_close_a_service() {
    for is_number_known in [false, true] {
        let mut object = one_backend(64);
        let living = connect(&mut object, 40_000);
        for nth in 0..1_000 {
            spoof(&mut object, nth, is_number_known);
        }
        for port in 41_000..41_030 {
            connect(&mut object, port);
        }
        reply(&mut object, &living.answer(Flags::ACK));
        let incident =
            if is_number_known { Incident::EvictedAnswered } else { Incident::EvictedHalfOpen };
        let evicted = object.incidents(incident);
        assert!(evicted >= 1_000 - 64, "{evicted} were counted as {}", incident.as_str());
        assert_eq!(object.incidents(Incident::EvictedEstablished), 0);
    }
}

/// Idle time counts from the backend's last packet: packets in a client's name prove nothing.
#[test]
#[ignore = "needs root"]
fn the_answered_one_that_was_silent_longest_gives_its_port_up() {
    let mut object = one_backend(4);
    connect(&mut object, 40_000);
    let opened = [7, 8, 9].map(|nth| {
        let opened = spoof(&mut object, nth, true);
        object.pass_time(Duration::from_secs(1));
        opened
    });
    reply(&mut object, &opened[0].answer(Flags::ACK));
    forward(&mut object, &Segment::new(spoofed(8), VIP, Flags::ACK));
    connect(&mut object, 41_000);
    let known = |nth| object.flow(&key_from(spoofed(nth))).is_some();
    assert_eq!([7, 8, 9].map(known), [true, false, true]);
    assert_eq!(state(&object, 40_000), Some(State::Established));
}

/// Brings a connection of this port to a state, and returns the tuple of its client's packets.
fn bring_to(object: &mut Object, step: usize, port: u16) -> FlowKey {
    match step {
        0 => {
            forward(object, &syn(port));
        }
        1 => {
            connect(object, port);
            forward(object, &Segment::new(client(port), VIP, Flags::RST));
        }
        2 => {
            shake_hands(object, port);
        }
        3 => {
            connect(object, port);
            forward(object, &Segment::new(client(port), VIP, Flags::FIN));
        }
        _ => {
            connect(object, port);
        }
    }
    key_of(port)
}

#[test]
#[ignore = "needs root"]
fn ports_are_retaken_in_order() {
    const COUNTED: [Incident; 5] = [
        Incident::EvictedHalfOpen,
        Incident::EarlyPortReuse,
        Incident::EvictedAnswered,
        Incident::EvictedClosing,
        Incident::EvictedEstablished,
    ];
    // In any order of their arrival.
    for first in 0..COUNTED.len() {
        let mut object = one_backend(5);
        let victims: Vec<_> = (0..5)
            .map(|nth| (first + nth) % 5)
            .map(|step| {
                let port = 40_000 + u16::try_from(step).expect("few");
                (step, bring_to(&mut object, step, port))
            })
            .collect();
        object.pass_time(MINUTE + Duration::from_secs(1));
        for (step, incident) in COUNTED.into_iter().enumerate() {
            let port = 41_000 + u16::try_from(step).expect("few");
            connect(&mut object, port);
            assert_eq!(object.incidents(incident), 1, "{}", incident.as_str());
            let (_, key) = victims.iter().find(|victim| victim.0 == step).expect("all");
            assert!(object.flow(key).is_none(), "{}", incident.as_str());
        }
        let run = object.run(&syn(42_000).frame());
        assert_eq!((run.action, run.reason), (Action::Drop, Reason::PortsExhausted));
    }
}

/// A flood of handshakes takes no port from established connections, however long it lasts.
#[test]
#[ignore = "needs root"]
fn established_connections_outlast_a_flood() {
    let mut object = one_backend(32);
    let living: Vec<_> = (0..16).map(|nth| connect(&mut object, 40_000 + nth)).collect();
    for nth in 0..2_000 {
        let other = SocketAddrV4::new(*spoofed(nth).ip(), 1);
        let _ = object.run_uncounted(&Segment::new(other, VIP, Flags::SYN).frame());
        spoof_if_served(&mut object, nth);
    }
    for opened in living {
        reply(&mut object, &opened.answer(Flags::ACK));
    }
}

fn spoof_if_served(object: &mut Object, nth: u32) {
    let (action, frame) =
        object.run_uncounted(&Segment::new(spoofed(nth), VIP, Flags::SYN).frame());
    if action != Action::Tx {
        return;
    }
    let opened = Segment::read(&frame);
    let _ = object.run_uncounted(&opened.answer(Flags::SYN_ACK).frame());
    let _ = object.run_uncounted(&Segment::new(spoofed(nth), VIP, Flags::ACK).frame());
}
