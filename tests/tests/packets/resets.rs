//! Resets made in XDP.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::reason::Reason;
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::{Action, INGRESS, Object, Run},
};

use crate::testbed::{PORTS, VIP, backend, balancer, client, configured, sent, syn};

fn reset(flags: Flags, sequence: u32, acknowledgement: u32) -> Segment {
    Segment {
        src_mac: BALANCER_MAC,
        dst_mac: CLIENT_MAC,
        ttl: 64,
        sequence,
        acknowledgement,
        ..Segment::new(VIP, client(40_000), flags)
    }
}

#[test]
#[ignore = "needs root"]
fn a_service_without_backends_refuses_connections() {
    for ring in [&[][..], &[0]] {
        let mut object = Object::load(100);
        object.backend(1, backend(1), INGRESS, (0, 1));
        object.serve(VIP, ring);
        let run = object.run(&syn(40_000).with_payload(b"fast open").frame());
        assert_eq!(run.frame.len(), 54);
        assert_eq!(sent(&run, Reason::ResetNoBackend), reset(Flags::RST_ACK, 0, 1_000 + 1 + 9));
        assert!(object.flows().is_empty());
    }
}

#[test]
#[ignore = "needs root"]
fn a_segment_of_no_known_connection_is_reset() {
    let mut object = balancer();
    let segment = Segment::new(client(40_000), VIP, Flags::ACK).with_payload(&[1; 1_300]);
    let run = object.run(&segment.frame());
    assert_eq!(run.frame.len(), 54);
    assert_eq!(sent(&run, Reason::ResetUnknownFlow), reset(Flags::RST, 2_001, 0));
}

#[test]
#[ignore = "needs root"]
fn a_reset_is_never_answered() {
    let mut object = balancer();
    for flags in [Flags::RST, Flags::RST_ACK] {
        let run = object.run(&Segment::new(client(40_000), VIP, flags).frame());
        assert_eq!((run.action, run.reason), (Action::Drop, Reason::StrayReset));
    }
}

#[test]
#[ignore = "needs root"]
fn a_cpu_sends_no_more_resets_than_it_may() {
    const EACH: u32 = 5;
    let mut object = configured(Object::with_resets(1_000, EACH), PORTS);
    let stray = |network| {
        let client = SocketAddrV4::new(Ipv4Addr::new(198, 51, network, 7), 40_000);
        Segment::new(client, VIP, Flags::ACK).frame()
    };
    let runs: Vec<_> = (0..100).map(|network| object.run(&stray(network))).collect();
    let sent = runs.iter().filter(|run| run.reason == Reason::ResetUnknownFlow).count();
    let capped = |run: &&Run| (run.reason, run.action) == (Reason::ResetCapped, Action::Drop);
    assert_eq!(sent + runs.iter().filter(capped).count(), 100);
    assert!((EACH as usize..runs.len()).contains(&sent), "{sent} of {}", runs.len());
    assert_eq!(object.run(&syn(40_000).frame()).reason, Reason::Forwarded);
}

#[test]
#[ignore = "needs root"]
fn one_network_spends_its_own_share_of_resets() {
    const EACH: u32 = 1_600;
    let mut object = configured(Object::with_resets(1_000, EACH), PORTS);
    let stray = Segment::new(client(40_000), VIP, Flags::ACK).frame();
    let runs: Vec<_> = (0..4_000).map(|_| object.run(&stray)).collect();
    assert!(runs.iter().any(|run| run.reason == Reason::ResetCapped));
    let other = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
    let run = object.run(&Segment::new(other, VIP, Flags::ACK).frame());
    assert_eq!(run.reason, Reason::ResetUnknownFlow);
}
