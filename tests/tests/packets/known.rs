//! Packets of known connections.

use lb_common::{
    backend::Hop,
    event::{ClientHop, Event, Kind},
};
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::INGRESS,
};

use crate::testbed::{VIP, balancer, client, connect, forward, reply, syn};

const OTHER_ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];

#[test]
#[ignore = "needs root"]
fn data_follows_its_connection_both_ways() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let request = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(b"odd");
    let sent = forward(&mut object, &request);
    assert_eq!((sent.src, sent.dst, &sent.payload[..]), (opened.src, opened.dst, &b"odd"[..]));
    let answer = opened.answer(Flags::ACK).with_payload(&[7; 1_000]);
    let sent = reply(&mut object, &answer);
    assert_eq!((sent.src, sent.dst, sent.payload.len()), (VIP, client(40_000), 1_000));
}

#[test]
#[ignore = "needs root"]
fn replies_follow_a_client_when_the_daemon_says_so() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let mut request = Segment::new(client(40_000), VIP, Flags::ACK);
    request.src_mac = OTHER_ROUTER;
    forward(&mut object, &request);
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, CLIENT_MAC);

    let events = object.events();
    let [event] = events[..] else { panic!("one event, not {events:?}") };
    assert_eq!(Kind::from_number(event.kind), Some(Kind::ClientMoved));
    assert_eq!(event.client, client(40_000).ip().octets());
    let Event { tag, index, hop, .. } = event;
    assert_eq!(hop, Hop::new(OTHER_ROUTER, BALANCER_MAC, INGRESS));
    assert!(object.write_hops(&[ClientHop { tag, index, hop, reserved: 0 }]));
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, OTHER_ROUTER);
    forward(&mut object, &request);
    assert!(object.events().is_empty());
}

#[test]
#[ignore = "needs root"]
fn replies_go_where_the_handshake_ended() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    let mut ack = Segment::new(client(40_000), VIP, Flags::ACK);
    ack.src_mac = OTHER_ROUTER;
    forward(&mut object, &ack);
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, OTHER_ROUTER);
}
