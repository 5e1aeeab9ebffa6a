//! Resets, retransmitted SYNs and latencies of handshakes, by backend.

use std::time::Duration;

use lb_common::{flow::State, handshake::EACH};
use lb_tests::{
    frame::{Flags, Segment},
    object::Object,
};

use crate::testbed::{VIP, balancer, balancer_with, client, connect, forward, reply, states, syn};

/// Number of handshakes, of which some are sampled.
const MANY: u16 = 1_024;

fn total(object: &Object, of: impl Fn(&lb_common::stats::TcpStats) -> u64) -> u64 {
    (0..4).map(|id| of(&object.tcp(id))).sum()
}

fn samples(object: &Object) -> u64 {
    total(object, |tcp| tcp.handshakes.iter().sum())
}

#[test]
#[ignore = "needs root"]
fn some_handshakes_are_measured_from_syn_to_syn_ack() {
    const WAIT: Duration = Duration::from_millis(20);
    let mut object = balancer_with(10_000, 2_000);
    let opened: Vec<_> = (0..MANY).map(|port| forward(&mut object, &syn(10_000 + port))).collect();
    // What is measured: no condition could be waited for instead.
    std::thread::sleep(WAIT);
    for one in &opened {
        reply(&mut object, &one.answer(Flags::SYN_ACK));
    }
    let samples_before = samples(&object);
    let expected = u64::from(MANY) / u64::from(EACH);
    assert!((expected / 3..expected * 3).contains(&samples_before), "{samples_before}");
    let quicker = total(&object, |tcp| tcp.handshakes[..14].iter().sum());
    assert_eq!(quicker, 0, "none of them took less than 8 ms");
    let least = samples_before * u64::try_from(WAIT.as_nanos()).expect("short");
    assert!(total(&object, |tcp| tcp.handshake_nanos) >= least);
    for one in &opened {
        reply(&mut object, &one.answer(Flags::SYN_ACK));
    }
    assert_eq!(samples(&object), samples_before, "only the first SYN-ACK counts");
}

#[test]
#[ignore = "needs root"]
fn a_syn_that_comes_again_counts_until_the_handshake_has_ended() {
    let mut object = balancer();
    let again = |object: &Object| total(object, |tcp| tcp.retransmitted_syns);
    let opened = forward(&mut object, &syn(40_000));
    assert_eq!(again(&object), 0);
    forward(&mut object, &syn(40_000));
    reply(&mut object, &opened.answer(Flags::SYN_ACK));
    forward(&mut object, &syn(40_000));
    assert_eq!(again(&object), 2);
    forward(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK));
    forward(&mut object, &syn(40_000));
    assert_eq!(again(&object), 2);
}

#[test]
#[ignore = "needs root"]
fn a_reset_counts_for_the_side_that_sent_it() {
    let mut object = balancer();
    let by = |object: &Object| {
        [total(object, |tcp| tcp.resets_by_client), total(object, |tcp| tcp.resets_by_backend)]
    };
    connect(&mut object, 40_000);
    let reset = Segment::new(client(40_000), VIP, Flags::RST);
    forward(&mut object, &reset);
    assert_eq!(by(&object), [1, 0]);
    forward(&mut object, &reset);
    assert_eq!(by(&object), [1, 0], "the same reset again");
    let opened = connect(&mut object, 40_001);
    reply(&mut object, &opened.answer(Flags::RST));
    assert_eq!(by(&object), [1, 1]);
    let refused = forward(&mut object, &syn(40_002));
    object.run(&refused.answer(Flags::RST_ACK).frame());
    assert_eq!(by(&object), [1, 2]);
    assert!(states(&object).contains(&State::HalfOpen));
}
