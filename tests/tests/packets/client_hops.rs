//! Next hops to clients: more of them than there is room for.

use std::collections::HashMap;

use lb_common::{backend::Hop, client_hops::SLOTS, event::ClientHop, reason::Reason};
use lb_dataplane::Search;
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::{INGRESS, Object},
};

use crate::testbed::{balancer_with, client, forward, key_of, reply, syn};

const FIRST_PORT: u16 = 10_000;

/// Number of next hops that send SYNs.
const HOPS: u16 = 4_500;

const _: () = assert!(HOPS as u32 > SLOTS);

/// Returns the SYN of a client behind the next hop with this number.
fn syn_through(hop: u16) -> Segment {
    Segment { src_mac: mac(hop), ..syn(FIRST_PORT + hop) }
}

fn mac(hop: u16) -> [u8; 6] {
    let [high, low] = hop.to_be_bytes();
    [2, 0, 0, 1, high, low]
}

/// Sends a SYN through each of many next hops. Returns those whose SYN was forwarded, and those whose was
/// dropped.
fn fill(object: &mut Object) -> (Vec<u16>, Vec<u16>) {
    (0..HOPS).partition(|hop| match object.run(&syn_through(*hop).frame()).reason {
        Reason::Forwarded => true,
        Reason::ClientHopsFull => false,
        other => panic!("{other:?}"),
    })
}

#[test]
#[ignore = "needs root"]
fn connections_by_next_hops_without_room_are_dropped_and_others_go_on() {
    let mut object = balancer_with(20_000, 20_000);
    let opened = forward(&mut object, &syn(40_000));
    let (forwarded, dropped) = fill(&mut object);
    let [forwarded, dropped] = [forwarded, dropped].map(|hops| hops.len());
    let slots = SLOTS as usize;
    assert!(dropped > 0 && (slots / 2..slots).contains(&forwarded), "{forwarded} {dropped}");
    forward(&mut object, &syn(40_001));
    let answer = reply(&mut object, &opened.answer(Flags::SYN_ACK));
    assert_eq!((answer.dst_mac, answer.dst), (CLIENT_MAC, client(40_000)));
}

#[test]
#[ignore = "needs root"]
fn a_move_to_a_next_hop_without_room_fails_and_the_others_are_made() {
    let mut object = balancer_with(20_000, 20_000);
    let opened = [40_000, 40_001].map(|port| forward(&mut object, &syn(port)));
    let (forwarded, dropped) = fill(&mut object);
    let [unknown, known] =
        [dropped[0], forwarded[0]].map(|hop| Hop::new(mac(hop), BALANCER_MAC, INGRESS));
    let [first, second] = [40_000, 40_001].map(|port| object.place(&key_of(port)).expect("known"));
    let moved = |(tag, index), hop| ClientHop { tag, hop, index, reserved: 0 };
    assert!(!object.write_hops(&[moved(first, unknown), moved(second, known)]));
    let towards = opened.map(|one| reply(&mut object, &one.answer(Flags::SYN_ACK)).dst_mac);
    assert_eq!(towards, [CLIENT_MAC, mac(forwarded[0])]);
}

#[test]
#[ignore = "needs root"]
fn slots_that_no_connection_needs_are_free_after_the_second_sweep() {
    let mut object = balancer_with(20_000, 20_000);
    let before = fill(&mut object);
    assert!(!before.1.is_empty(), "{before:?}");
    for port in FIRST_PORT..FIRST_PORT + HOPS {
        if object.flow(&key_of(port)).is_some() {
            object.remove_connection(&key_of(port));
        }
    }
    let mut sweeper = object.sweeper();
    for _ in 0..2 {
        let swept = sweeper.sweep(lb_dataplane::now(), &HashMap::new(), &Search::default(), None);
        assert!(swept.has_seen_all);
    }
    assert_eq!(fill(&mut object), before);
}
