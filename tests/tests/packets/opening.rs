//! New connections.

use lb_common::{flow::FlowKey, reason::Reason, table::WAYS};
use lb_tests::{
    frame::{BACKEND_MAC, BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::Action,
};

use crate::testbed::{
    FIRST_PORT, SOURCE, VIP, backend, balancer, balancer_with, client, connect, forward, reply, syn,
};

#[test]
#[ignore = "needs root"]
fn a_new_connection_is_rewritten_whole() {
    let mut object = balancer();
    let sent = forward(&mut object, &syn(40_000));
    let expected = Segment {
        src_mac: BALANCER_MAC,
        dst_mac: BACKEND_MAC,
        src: std::net::SocketAddrV4::new(SOURCE, FIRST_PORT),
        dst: backend(1),
        ttl: 63,
        ..syn(40_000)
    };
    assert_eq!(sent, expected);
    assert_eq!(object.flows().len(), 2);
    assert_eq!(object.traffic(1).connections, 1);
    assert_eq!(object.traffic(1).inbound.bytes, 40);
}

#[test]
#[ignore = "needs root"]
fn a_reply_comes_from_the_vip() {
    let mut object = balancer();
    let opened = forward(&mut object, &syn(40_000));
    let answer = opened.answer(Flags::SYN_ACK);
    let sent = reply(&mut object, &answer);
    let expected = Segment {
        src_mac: BALANCER_MAC,
        dst_mac: CLIENT_MAC,
        src: VIP,
        dst: client(40_000),
        ttl: 63,
        ..answer
    };
    assert_eq!(sent, expected);
    assert_eq!(object.traffic(1).outbound.packets, 1);
}

#[test]
#[ignore = "needs root"]
fn connections_take_turns() {
    let mut object = balancer();
    let chosen: Vec<_> = (0..6).map(|i| forward(&mut object, &syn(40_000 + i)).dst).collect();
    assert_eq!(chosen, [1, 2, 3, 1, 2, 3].map(backend));
}

#[test]
#[ignore = "needs root"]
fn a_retransmitted_syn_goes_where_the_first_one_went() {
    let mut object = balancer();
    let first = forward(&mut object, &syn(40_000));
    assert_eq!(forward(&mut object, &syn(40_000)), first);
    assert_eq!(object.flows().len(), 2);
    assert_eq!(object.traffic(1).connections, 1);
}

#[test]
#[ignore = "needs root"]
fn a_full_table_drops_and_leaves_no_half_pair() {
    let mut object = balancer_with(1, 100);
    let room = u16::try_from(WAYS / 2).expect("few");
    for port in 0..room {
        connect(&mut object, 40_000 + port);
    }
    let run = object.run(&syn(41_000).frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::TableFull));
    let again = object.run(&Segment::new(client(40_000), VIP, Flags::ACK).frame());
    assert_eq!(again.reason, Reason::Forwarded);
    let flows = object.flows();
    for (key, (_, flow)) in &flows {
        let partner = flows.get(&flow.partner()).expect("a partner").1;
        assert_eq!(partner.partner(), *key);
    }
}

#[test]
#[ignore = "needs root"]
fn half_a_pair_is_made_whole_by_a_syn() {
    let mut object = balancer();
    forward(&mut object, &syn(40_000));
    let key = FlowKey::tcp(
        client(40_000).ip().octets(),
        40_000_u16.to_be_bytes(),
        VIP.ip().octets(),
        VIP.port().to_be_bytes(),
    );
    let reply_key = object.flows()[&key].1.partner();
    object.remove_flow(&reply_key);
    let again = forward(&mut object, &syn(40_000));
    assert_eq!(again.dst, backend(2));
    reply(&mut object, &again.answer(Flags::SYN_ACK));
}

#[test]
#[ignore = "needs root"]
fn a_syn_whose_time_to_live_ends_opens_nothing() {
    let mut object = balancer();
    let run = object.run(&Segment { ttl: 1, ..syn(40_000) }.frame());
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::TtlExpired));
    assert!(object.flows().is_empty());
    assert_eq!(object.traffic(1).connections, 0);
}
