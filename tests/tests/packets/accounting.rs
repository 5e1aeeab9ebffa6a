//! Packets and bytes of each flow.

use lb_common::{flow::FlowKey, stats::Count};
use lb_tests::{
    frame::{Flags, Segment},
    object::Object,
};

use crate::testbed::{VIP, client, configured, connect, forward, key_of, reply, syn};

/// Headers of IPv4 and TCP.
const HEADERS: u64 = 40;

fn accounts(object: &Object, port: u16, answer: &Segment) -> [Count; 2] {
    let (_, to_backend) = object.place(&key_of(port)).expect("known");
    let (from, to) = (answer.src, answer.dst);
    let key = FlowKey::tcp(
        from.ip().octets(),
        from.port().to_be_bytes(),
        to.ip().octets(),
        to.port().to_be_bytes(),
    );
    let (_, to_client) = object.place(&key).expect("known");
    [to_backend, to_client].map(|index| object.account(index))
}

#[test]
#[ignore = "needs root"]
fn a_connection_counts_its_own_packets() {
    let mut object = configured(Object::accounting(1_000), 100);
    let opened = connect(&mut object, 40_000);
    let other = connect(&mut object, 40_001);
    let data = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(&[7; 100]);
    forward(&mut object, &data);
    let counted = accounts(&object, 40_000, &opened.answer(Flags::ACK));
    let [inbound, outbound] = [(3, 100), (2, 7)]
        .map(|(packets, payload)| Count { packets, bytes: packets * HEADERS + payload });
    assert_eq!(counted, [inbound, outbound]);
    let of_other = accounts(&object, 40_001, &other.answer(Flags::ACK));
    assert_eq!(of_other, [Count { packets: 2, bytes: 2 * HEADERS }, outbound]);
}

#[test]
#[ignore = "needs root"]
fn a_new_connection_begins_with_nothing() {
    let mut object = configured(Object::accounting(1_000), 1);
    let first = connect(&mut object, 40_000);
    let before = accounts(&object, 40_000, &first.answer(Flags::ACK));
    assert!(before.iter().all(|count| count.packets > 1), "{before:?}");
    reply(&mut object, &first.answer(Flags::RST));
    object.remove_connection(&key_of(40_000));
    let second = forward(&mut object, &syn(40_000));
    reply(&mut object, &second.answer(Flags::SYN_ACK));
    let one = Count { packets: 1, bytes: HEADERS };
    assert_eq!(accounts(&object, 40_000, &second.answer(Flags::ACK)), [one; 2]);
}
