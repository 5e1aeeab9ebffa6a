//! Connections that move to a flow table of another size.

use std::{collections::HashMap, net::SocketAddrV4};

use lb_common::{
    flow::{Pair, State, V4, flags_seen},
    reason::Reason,
    table::{IMPORTS_EACH_RUN, Import, Imported},
};
use lb_tests::{
    frame::{CLIENT_MAC, Flags, Segment},
    object::{Action, INGRESS, Object},
};

use crate::testbed::{
    FIRST_PORT, PORTS, SOURCE, VIP, backend, balancer_with, client, connect, forward, key_of,
    reply, sent, shake_hands, syn,
};

const PORT: u16 = 40_000;

/// Makes a balancer whose table takes over connections. It knows the next hop to the client under the same
/// index, as it does when it shares the map of next hops.
fn successor(connections: u32) -> Object {
    let mut object = balancer_with(connections, 10_000);
    forward(&mut object, &syn(PORT - 1));
    object.remove_connection(&key_of(PORT - 1));
    object
}

fn of_client(port: u16) -> Segment {
    Segment::new(client(port), VIP, Flags::ACK)
}

#[test]
#[ignore = "needs root"]
fn a_connection_goes_on_in_both_directions_and_is_imported_once() {
    let mut former = balancer_with(1_000, 10_000);
    let opened = connect(&mut former, PORT);
    let connections = former.connections();
    let id = Pair::<V4>::of_words(connections[0].pair).backend();
    let mut object = successor(50);
    let before = object.active(id);
    assert_eq!(object.import(&connections), [Imported::Added]);
    let known = object.flows();
    assert_eq!(object.import(&connections), [Imported::Known]);
    assert_eq!(object.flows(), known);
    let to_backend = forward(&mut object, &of_client(PORT));
    assert_eq!((to_backend.src, to_backend.dst), (opened.src, opened.dst));
    let answer = reply(&mut object, &opened.answer(Flags::ACK).with_payload(b"more"));
    assert_eq!((answer.src, answer.dst, answer.dst_mac), (VIP, client(PORT), CLIENT_MAC));
    assert_eq!(object.progress(&key_of(PORT)), former.progress(&key_of(PORT)));
    assert_eq!((object.active(id) - before, former.active(id)), (1, 1));
}

#[test]
#[ignore = "needs root"]
fn what_has_happened_meanwhile_is_added() {
    let mut former = balancer_with(1_000, 10_000);
    let answered = shake_hands(&mut former, PORT);
    let mut object = successor(1_000);
    assert_eq!(object.import(&former.connections()), [Imported::Added]);
    assert_eq!(object.state(&key_of(PORT)), Some(State::Answered));
    reply(&mut former, &answered.answer(Flags::ACK).with_payload(b"welcome"));
    assert_eq!(object.import(&former.connections()), [Imported::Updated]);
    assert_eq!(object.state(&key_of(PORT)), Some(State::Established));
    assert_eq!(object.import(&former.connections()), [Imported::Known]);
    forward(&mut object, &of_client(PORT));
}

#[test]
#[ignore = "needs root"]
fn connections_that_are_there_keep_their_tuples_and_ports() {
    let mut former = balancer_with(1_000, 10_000);
    connect(&mut former, PORT);
    let mut object = successor(1_000);
    object.import(&former.connections()).into_iter().for_each(drop);
    let mut other = balancer_with(1_000, 10_000);
    connect(&mut other, PORT + 1);
    assert_eq!(object.import(&other.connections()), [Imported::Taken]);
    assert_eq!(object.flow_count(), 2);
    forward(&mut object, &of_client(PORT));
}

#[test]
#[ignore = "needs root"]
fn many_connections_move_to_a_smaller_table_and_new_ones_avoid_their_ports() {
    let count = u16::try_from(3 * IMPORTS_EACH_RUN + 5).expect("few");
    let mut former = balancer_with(20_000, 10_000);
    (PORT..PORT + count).for_each(|port| drop(connect(&mut former, port)));
    let mut object = successor(1_000);
    for batch in former.connections().chunks(IMPORTS_EACH_RUN) {
        assert_eq!(object.import(batch), vec![Imported::Added; batch.len()]);
    }
    let ports = |object: &Object| -> HashMap<u16, u16> {
        let flows = object.flows().into_values();
        let towards = flows.filter(|(tag, _)| tag.flags_seen() & flags_seen::TO_CLIENT == 0);
        towards
            .map(|(_, flow)| {
                let [client, source] =
                    [flow.key, flow.to].map(|key| u16::from_be_bytes(key.src_port()));
                (client, source)
            })
            .collect()
    };
    assert_eq!(ports(&object), ports(&former));
    forward(&mut object, &syn(PORT + count));
    (PORT..PORT + count).for_each(|port| drop(forward(&mut object, &of_client(port))));
}

#[test]
#[ignore = "needs root"]
fn a_full_table_takes_no_more() {
    let mut former = balancer_with(5_000, 10_000);
    (PORT..PORT + 300).for_each(|port| drop(connect(&mut former, port)));
    let object = successor(5);
    let connections = former.connections();
    let results: Vec<Imported> = connections
        .chunks(IMPORTS_EACH_RUN)
        .flat_map(|batch: &[Import]| object.import(batch))
        .collect();
    let added = results.iter().filter(|result| **result == Imported::Added).count();
    assert!(added >= 5 && results.contains(&Imported::Full), "{results:?}");
    assert_eq!(object.flow_count(), 2 * added);
}

#[test]
#[ignore = "needs root"]
fn unknown_connections_are_dropped_while_others_move() {
    let mut object = balancer_with(1_000, PORTS);
    let last = FIRST_PORT + PORTS - 1;
    object.guard(SOURCE, (FIRST_PORT, last), backend(1));
    object.origin(*backend(1).ip(), INGRESS);
    let late = Segment::new(backend(1), SocketAddrV4::new(SOURCE, last), Flags::ACK);
    object.set_migrating(true);
    for segment in [of_client(PORT), late.clone()] {
        let run = object.run(&segment.frame());
        assert_eq!((run.action, run.reason), (Action::Drop, Reason::Migrating));
    }
    forward(&mut object, &syn(PORT + 1));
    object.set_migrating(false);
    for segment in [of_client(PORT), late] {
        sent(&object.run(&segment.frame()), Reason::ResetUnknownFlow);
    }
}
