//! Source ports: drawn in turn, never shared, and rested after use.

use std::{collections::HashSet, net::Ipv4Addr};

use lb_common::{reason::Reason, stats::Incident};
use lb_tests::{
    frame::{Flags, Segment},
    object::{Action, INGRESS, Object},
};

use crate::testbed::{FIRST_PORT, VIP, backend, client, connect, forward, reply, syn};

fn one_backend(ports: u16) -> Object {
    let mut object = Object::load(1_000);
    object.source(0, Ipv4Addr::new(10, 0, 0, 1), FIRST_PORT, ports);
    object.backend(1, backend(1), INGRESS, (0, 1));
    object.serve(VIP, &[1]);
    object
}

#[test]
#[ignore = "needs root"]
fn every_port_is_used_before_one_is_used_again() {
    let mut object = one_backend(50);
    let ports: HashSet<u16> =
        (0..50).map(|i| forward(&mut object, &syn(40_000 + i)).src.port()).collect();
    assert_eq!(ports, (FIRST_PORT..FIRST_PORT + 50).collect());
}

#[test]
#[ignore = "needs root"]
fn several_sources_take_turns() {
    let mut object = one_backend(50);
    let second = Ipv4Addr::new(10, 0, 0, 2);
    object.source(1, second, FIRST_PORT, 50);
    object.backend(1, backend(1), INGRESS, (0, 2));
    let sources: Vec<_> = (0..4).map(|i| forward(&mut object, &syn(40_000 + i)).src).collect();
    assert_eq!(sources.iter().filter(|source| *source.ip() == second).count(), 2);
    assert_eq!(sources.iter().collect::<HashSet<_>>().len(), 4);
}

#[test]
#[ignore = "needs root"]
fn a_taken_port_is_passed_over() {
    let mut object = one_backend(3);
    object.backend(2, backend(1), INGRESS, (0, 1));
    let first = forward(&mut object, &syn(40_000));
    object.serve(VIP, &[2]);
    let second = forward(&mut object, &syn(40_001));
    assert_eq!(first.dst, second.dst);
    assert_ne!(first.src, second.src);
    assert_eq!(object.incidents(Incident::PortClash), 1);
}

#[test]
#[ignore = "needs root"]
fn when_all_ports_are_taken_the_connection_is_refused_and_others_live() {
    let mut object = one_backend(4);
    let opened: Vec<_> = (0..4).map(|i| connect(&mut object, 40_000 + i)).collect();
    let run = object.run(&syn(41_000).frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::PortsExhausted));
    assert_eq!(object.flows().len(), 8);
    for segment in opened {
        reply(&mut object, &segment.answer(Flags::ACK));
    }
}

#[test]
#[ignore = "needs root"]
fn a_resting_port_is_used_again_only_when_all_are_taken() {
    let mut object = one_backend(4);
    for i in 0..4 {
        connect(&mut object, 40_000 + i);
    }
    forward(&mut object, &Segment::new(client(40_002), VIP, Flags::RST));
    let new = forward(&mut object, &syn(41_000));
    assert_eq!(new.src.port(), FIRST_PORT + 2);
    assert_eq!(object.incidents(Incident::EarlyPortReuse), 1);
    assert_eq!(object.flows().len(), 8, "the old pair is gone whole");
    let replied = reply(&mut object, &new.answer(Flags::SYN_ACK));
    assert_eq!(replied.dst, client(41_000));
}

#[test]
#[ignore = "needs root"]
fn a_backend_without_sources_is_unreachable() {
    let mut object = one_backend(4);
    object.backend(1, backend(1), INGRESS, (0, 0));
    let run = object.run(&syn(40_000).frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::Unreachable));
}

#[test]
#[ignore = "needs root"]
fn a_run_of_taken_ports_holds_nobody_up() {
    let mut object = one_backend(100);
    for i in 0..60 {
        connect(&mut object, 40_000 + i);
    }
    object.backend(2, backend(1), INGRESS, (0, 1));
    object.serve(VIP, &[2]);
    for i in 0..30 {
        forward(&mut object, &syn(41_000 + i));
    }
}
