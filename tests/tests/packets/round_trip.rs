//! Arbitrary segments, in both directions.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::origin;
use lb_tests::frame::{Flags, Segment};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::testbed::{VIP, balancer_with, forward, reply};

#[test]
#[ignore = "needs root"]
fn a_round_trip_restores_every_tuple_and_keeps_every_byte() {
    let mut object = balancer_with(20_000, 20_000);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(500));
    let cases = (
        any::<u32>().prop_filter("a host's", |ip| {
            *ip != u32::from(*VIP.ip()) && !origin::is_nobodys(ip.to_be_bytes())
        }),
        1_u16..,
        prop::collection::vec(any::<u8>(), 0..1_400),
        2_u8..,
        any::<[u8; 6]>(),
        any::<(u32, u32)>(),
    );
    let object = std::cell::RefCell::new(&mut object);
    runner
        .run(&cases, |(ip, port, payload, ttl, src_mac, (sequence, acknowledgement))| {
            let object = &mut **object.borrow_mut();
            let client = SocketAddrV4::new(Ipv4Addr::from(ip), port);
            let segment =
                Segment { src_mac, ttl, sequence, ..Segment::new(client, VIP, Flags::SYN) };
            let there = forward(object, &segment.with_payload(&payload));
            prop_assert_eq!((&there.payload, there.ttl), (&payload, ttl - 1));
            let answer = Segment { acknowledgement, ttl, ..there.answer(Flags::ACK) };
            let back = reply(object, &answer.with_payload(&payload));
            prop_assert_eq!((back.src, back.dst, back.dst_mac), (VIP, client, src_mac));
            prop_assert_eq!((back.payload, back.acknowledgement), (payload, acknowledgement));
            Ok(())
        })
        .expect("holds for all");
}
