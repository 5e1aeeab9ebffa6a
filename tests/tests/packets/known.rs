//! Packets of known connections.

use lb_tests::frame::{Flags, Segment};

use crate::bed::{VIP, balancer, client, connect, forward, reply};

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
fn replies_follow_a_client_whose_way_changes() {
    const OTHER_ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 9];
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let mut request = Segment::new(client(40_000), VIP, Flags::ACK);
    request.src_mac = OTHER_ROUTER;
    forward(&mut object, &request);
    assert_eq!(reply(&mut object, &opened.answer(Flags::ACK)).dst_mac, OTHER_ROUTER);
}
