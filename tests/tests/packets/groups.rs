//! Groups of addresses that this node is active or standby for.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use lb_common::reason::Reason;
use lb_dataplane::{Leases, lease_time};
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
    let now = lease_time();
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

/// The host would answer, and ask for the sender's MAC address as if it had the address.
#[test]
#[ignore = "needs root"]
fn the_host_of_a_standby_node_sees_nothing_to_its_addresses() {
    let mut object = grouped();
    let (from, to) = (client(1).ip().octets(), VIP.ip().octets());
    let elsewhere = SocketAddrV4::new(*VIP.ip(), 81);
    let mut echo = Vec::new();
    let builder = PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC).ipv4(from, to, 64);
    builder.icmpv4_echo_request(1, 1).write(&mut echo, b"ping").expect("builds");
    let mut asks = question(*client(1).ip(), *VIP.ip(), ArpOperation::REQUEST);
    // IEEE 802, which Linux answers, too.
    asks[15] = 6;
    let frames = [
        echo,
        with_options(&Segment::new(client(40_000), elsewhere, Flags::SYN).frame()),
        tagged(&syn(40_000).frame(), 0),
        tagged(&question(*client(1).ip(), *VIP.ip(), ArpOperation::REQUEST), 0),
        asks,
    ];
    for frame in &frames {
        assert_standby(&mut object, frame);
    }
    promote(&object.leases(), LONG);
    for frame in frames {
        assert_ne!(object.run(&frame).reason, Reason::Standby);
    }
}

#[test]
#[ignore = "needs root"]
fn a_standby_node_leaves_frames_to_others_alone() {
    let mut object = grouped();
    let leases = object.leases();
    promote(&leases, LONG);
    connect(&mut object, 40_000);
    demote(&leases);
    for flags in [Flags::ACK, Flags::SYN] {
        let other = Segment { dst_mac: [2; 6], ..Segment::new(client(40_000), VIP, flags) };
        let run = object.run(&other.frame());
        assert_eq!((run.action, run.reason), (Action::Pass, Reason::OtherMac));
    }
}

/// Returns the frame with a VLAN tag.
fn tagged(frame: &[u8], vlan: u8) -> Vec<u8> {
    [&frame[..12], &[0x81, 0x00, 0, vlan], &frame[12..]].concat()
}

/// Returns the frame with an IP option that has no meaning.
fn with_options(frame: &[u8]) -> Vec<u8> {
    let mut frame = [&frame[..34], &[1, 1, 1, 0], &frame[34..]].concat();
    frame[14] = 0x46;
    let [high, low] = u16::try_from(frame.len() - 14).expect("short").to_be_bytes();
    (frame[16], frame[17]) = (high, low);
    frame
}

#[test]
#[ignore = "needs root"]
fn what_is_in_no_group_is_served_always() {
    let mut object = configured(Object::grouped(1_000), PORTS);
    connect(&mut object, 40_000);
}
