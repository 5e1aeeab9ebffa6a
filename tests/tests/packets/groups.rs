//! Groups of addresses that this node is active or standby for.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use lb_common::reason::Reason;
use lb_dataplane::{Leases, present};
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::{Action, Object},
};

use crate::testbed::{
    PORTS, SOURCE, VIP, backend, client, configured, connect, forward, reply, syn,
};

const GROUP: u16 = 1;
const NUMBER: u32 = 1;

/// Time of a lease that does not run out.
const LONG: u64 = 1 << 30;

fn grouped() -> Object {
    let mut object = configured(Object::grouped(1_000), PORTS);
    object.group(GROUP, VIP, &[1, 2, 3], SOURCE);
    object
}

fn promote(leases: &Leases, length: u64) {
    let now = present();
    leases
        .change(NUMBER, |lease| lease.promoted(lease.epoch() + 1, now, length))
        .expect("a later epoch");
}

fn demote(leases: &Leases) {
    leases.change(NUMBER, |lease| Some(lease.demoted())).expect("a change");
}

/// Returns a request for the MAC address of `target`.
fn question(sender: Ipv4Addr, target: Ipv4Addr, operation: ArpOperation) -> Vec<u8> {
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &CLIENT_MAC,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    );
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, [0xff; 6]).arp(arp.expect("fits"));
    builder.write(&mut frame).expect("builds");
    frame
}

#[track_caller]
fn assert_standby(object: &mut Object, frame: &[u8]) {
    let run = object.run(frame);
    assert_eq!((run.action, run.reason), (Action::Drop, Reason::Standby));
    assert_eq!(run.frame, frame, "left as it is");
}

#[test]
#[ignore = "needs root"]
fn a_standby_node_forwards_nothing_of_its_group() {
    let mut object = grouped();
    let leases = object.leases();
    assert_standby(&mut object, &syn(40_000).frame());
    assert!(object.flows().is_empty());
    promote(&leases, LONG);
    let opened = connect(&mut object, 40_000);
    demote(&leases);
    let of_client = Segment::new(client(40_000), VIP, Flags::ACK);
    let unknown = Segment::new(client(40_001), VIP, Flags::ACK);
    let of_backend = opened.answer(Flags::ACK);
    let stray = Segment {
        src_mac: [0x12; 6],
        dst_mac: BALANCER_MAC,
        ..Segment::new(backend(1), SocketAddrV4::new(SOURCE, 1_100), Flags::ACK)
    };
    for segment in [&of_client, &unknown, &of_backend, &stray, &syn(40_000), &syn(40_002)] {
        assert_standby(&mut object, &segment.frame());
    }
    promote(&leases, LONG);
    forward(&mut object, &of_client);
    reply(&mut object, &of_backend);
    forward(&mut object, &syn(40_002));
}

#[test]
#[ignore = "needs root"]
fn a_lease_that_has_run_out_fences_the_node() {
    let mut object = grouped();
    let leases = object.leases();
    promote(&leases, LONG);
    connect(&mut object, 40_000);
    demote(&leases);
    promote(&leases, 0);
    assert!(!leases.of(NUMBER).is_standby(), "its lease has run out");
    assert_standby(&mut object, &Segment::new(client(40_000), VIP, Flags::ACK).frame());
    assert_standby(&mut object, &syn(40_001).frame());
}

#[test]
#[ignore = "needs root"]
fn requests_for_the_addresses_of_a_standby_node_are_not_answered() {
    let mut object = grouped();
    let leases = object.leases();
    let (asker, vip) = (*client(1).ip(), *VIP.ip());
    let other = Ipv4Addr::new(203, 0, 113, 77);
    let passed = [
        question(asker, other, ArpOperation::REQUEST),
        question(asker, vip, ArpOperation::REPLY),
        // The other node's announcement.
        question(vip, vip, ArpOperation::REQUEST),
    ];
    for address in [vip, SOURCE] {
        let mut frame = question(asker, address, ArpOperation::REQUEST);
        assert_standby(&mut object, &frame);
        frame.resize(60, 0);
        assert_standby(&mut object, &frame);
    }
    for frame in &passed {
        let run = object.run(frame);
        assert_eq!((run.action, run.reason), (Action::Pass, Reason::NotIpv4));
    }
    promote(&leases, LONG);
    for address in [vip, SOURCE] {
        let run = object.run(&question(asker, address, ArpOperation::REQUEST));
        assert_eq!((run.action, run.reason), (Action::Pass, Reason::NotIpv4));
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_in_no_group_is_served_always() {
    let mut object = configured(Object::grouped(1_000), PORTS);
    connect(&mut object, 40_000);
}
