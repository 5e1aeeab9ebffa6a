//! Frames that are not for the fast path: each has a reason, and is passed to the host.

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IpFragOffset, PacketBuilder, VlanId,
};
use lb_common::reason::Reason;
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    object::{Action, Object},
};

use crate::testbed::{VIP, balancer, client, connect, syn};

const FRAGMENT: usize = 14 + 6;
const TOTAL_LENGTH: usize = 14 + 2;
const DATA_OFFSET: usize = 14 + 20 + 12;

fn assert_passed(object: &mut Object, frame: &[u8], reason: Reason) {
    let run = object.run(frame);
    assert_eq!((run.action, run.reason), (Action::Pass, reason));
    assert_eq!(run.frame, frame, "a frame that is passed is not changed");
}

#[test]
#[ignore = "needs root"]
fn what_is_not_for_a_service_is_not_ours() {
    let mut object = balancer();
    let mut segment = syn(40_000);
    segment.dst.set_port(22);
    assert_passed(&mut object, &segment.frame(), Reason::NotOurs);
}

#[test]
#[ignore = "needs root"]
fn every_cut_of_a_frame_is_survived() {
    let mut object = balancer();
    let frame = syn(40_000).frame();
    for length in 14..frame.len() {
        assert_passed(&mut object, &frame[..length], Reason::Truncated);
    }
    assert_eq!(object.run(&frame).reason, Reason::Forwarded);
}

#[test]
#[ignore = "needs root"]
fn headers_that_claim_less_than_there_must_be_are_truncated() {
    let mut object = balancer();
    for (at, value) in [(DATA_OFFSET, 4 << 4), (DATA_OFFSET, 0), (TOTAL_LENGTH + 1, 39)] {
        let mut frame = syn(40_000).frame();
        frame[at] = value;
        assert_passed(&mut object, &frame, Reason::Truncated);
    }
}

#[test]
#[ignore = "needs root"]
fn headers_that_claim_more_than_there_is_are_truncated() {
    let mut object = balancer();
    let segment = syn(40_000).with_payload(&[7; 100]);
    for length in 54..segment.frame().len() {
        assert_passed(&mut object, &segment.frame()[..length], Reason::Truncated);
    }
    let mut options_beyond_the_packet = syn(40_000).frame();
    options_beyond_the_packet[DATA_OFFSET] = 6 << 4;
    assert_passed(&mut object, &options_beyond_the_packet, Reason::Truncated);
}

#[test]
#[ignore = "needs root"]
fn padding_behind_a_packet_is_no_claim() {
    let mut object = balancer();
    let padded = [syn(40_000).frame(), vec![0; 6]].concat();
    assert_eq!(object.run(&padded).reason, Reason::Forwarded);
}

#[test]
#[ignore = "needs root"]
fn fragments_never_reach_a_service() {
    let mut object = balancer();
    let fragment = |segment: &Segment, high, low| {
        let mut frame = segment.frame();
        (frame[FRAGMENT], frame[FRAGMENT + 1]) = (high, low);
        frame
    };
    for (high, low) in [(0, 1), (0x1f, 0xff), (0x20, 8)] {
        assert_passed(&mut object, &fragment(&syn(40_000), high, low), Reason::Fragment);
    }
    let first = object.run(&fragment(&syn(40_000), 0x20, 0));
    assert_eq!((first.action, first.reason), (Action::Drop, Reason::FragmentToService));
    let mut to_host = syn(40_000);
    to_host.dst.set_port(22);
    assert_passed(&mut object, &fragment(&to_host, 0x20, 0), Reason::Fragment);
    let whole = syn(40_000).frame();
    assert_eq!(whole[FRAGMENT], 0x40, "this one carries the flag");
    assert_eq!(object.run(&whole).reason, Reason::Forwarded);
}

#[test]
#[ignore = "needs root"]
fn ip_options_never_reach_a_service() {
    let mut object = balancer();
    for options in [&[1, 1, 1, 0][..], &[1; 40]] {
        let run = object.run(&with_options(80, options));
        assert_eq!((run.action, run.reason), (Action::Drop, Reason::IpOptionsToService));
        assert_passed(&mut object, &with_options(22, options), Reason::IpOptions);
    }
}

fn with_options(port: u16, options: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut header = etherparse::Ipv4Header::new(
        0,
        64,
        etherparse::IpNumber::TCP,
        client(1).ip().octets(),
        VIP.ip().octets(),
    )
    .expect("fits");
    header.options = options.try_into().expect("fits");
    header.fragment_offset = IpFragOffset::ZERO;
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ip(etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
        .tcp(40_000, port, 1, 64_000)
        .syn()
        .write(&mut frame, &[])
        .expect("builds");
    frame
}

#[test]
#[ignore = "needs root"]
fn tagged_frames_are_passed() {
    let mut object = balancer();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .single_vlan(VlanId::try_new(7).expect("fits"))
        .ipv4(client(1).ip().octets(), VIP.ip().octets(), 64)
        .tcp(40_000, 80, 1, 64_000)
        .syn()
        .write(&mut frame, &[])
        .expect("builds");
    assert_passed(&mut object, &frame, Reason::Vlan);
}

#[test]
#[ignore = "needs root"]
fn other_protocols_are_passed() {
    let mut object = balancer();
    let mut udp = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ipv4(client(1).ip().octets(), VIP.ip().octets(), 64)
        .udp(40_000, 80)
        .write(&mut udp, b"a datagram")
        .expect("builds");
    assert_passed(&mut object, &udp, Reason::NotTcp);

    let mut ipv6 = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ipv6([1; 16], [2; 16], 64)
        .tcp(40_000, 80, 1, 64_000)
        .write(&mut ipv6, &[])
        .expect("builds");
    assert_passed(&mut object, &ipv6, Reason::NotIpv4);

    let mut arp = Vec::new();
    let question = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &CLIENT_MAC,
        &client(1).ip().octets(),
        &[0; 6],
        &VIP.ip().octets(),
    )
    .expect("fits");
    PacketBuilder::ethernet2(CLIENT_MAC, [0xff; 6]).arp(question).write(&mut arp).expect("builds");
    assert_passed(&mut object, &arp, Reason::NotIpv4);
}

#[test]
#[ignore = "needs root"]
fn a_packet_whose_time_to_live_ends_goes_nowhere() {
    let mut object = balancer();
    let opened = connect(&mut object, 40_000);
    for ttl in [0, 1] {
        for last in [Segment::new(client(40_000), VIP, Flags::ACK), opened.answer(Flags::ACK)] {
            let run = object.run(&Segment { ttl, ..last }.frame());
            assert_eq!((run.action, run.reason), (Action::Drop, Reason::TtlExpired));
        }
    }
}
