//! Frames of several buffers: only the first of them is directly accessible.

use lb_common::reason::Reason;
use lb_tests::frame::{Flags, Segment};

use crate::testbed::{VIP, balancer, client, connect, forward, reply, sent};

const PAYLOAD: [u8; 8_900] = [7; 8_900];

#[test]
#[ignore = "needs root"]
fn they_follow_their_connection_both_ways() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    let request = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(&PAYLOAD);
    assert_eq!(forward(&mut object, &request).payload, PAYLOAD);
    let answer = opened.answer(Flags::ACK).with_payload(&PAYLOAD);
    assert_eq!(reply(&mut object, &answer).payload, PAYLOAD);
}

#[test]
#[ignore = "needs root"]
fn they_are_cut_to_the_reset_that_answers_them() {
    let mut object = balancer();
    let segment = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(&PAYLOAD);
    let run = object.run(&segment.frame());
    assert_eq!(run.frame.len(), 54);
    assert_eq!(sent(&run, Reason::ResetUnknownFlow).flags, Flags::RST);
}

#[test]
#[ignore = "needs root"]
fn all_their_bytes_are_counted() {
    let mut object = balancer();
    connect(&mut object, 40_000);
    let before = object.traffic(1).inbound.bytes;
    let frames_before = object.bytes(Reason::Forwarded);
    let request = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(&PAYLOAD);
    forward(&mut object, &request);
    assert_eq!(object.traffic(1).inbound.bytes - before, 8_940);
    assert_eq!(object.bytes(Reason::Forwarded) - frames_before, 8_954);
}
