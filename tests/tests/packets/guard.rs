//! Packets that the host guard keeps from the host's stack, and packets that it passes.

use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    process::Command,
};

use etherparse::{IpFragOffset, IpHeaders, IpNumber, Ipv4Header, PacketBuilder, VlanId};
use lb_tests::{
    frame::{BALANCER_MAC, CLIENT_MAC, Flags, Segment},
    guarded::{Guard, Verdict},
};

use crate::testbed::{FIRST_PORT, PORTS, SOURCE, VIP, backend, client};

const LAST_PORT: u16 = FIRST_PORT + PORTS - 1;

/// A fourth more than it needs.
const VERIFIER_BUDGET: u32 = 5_000;

fn guard() -> Guard {
    let mut guard = Guard::load();
    guard.serve(VIP);
    guard.source(SOURCE, FIRST_PORT, LAST_PORT);
    guard.backend(backend(1));
    guard
}

fn segment(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    Segment::new(from, to, Flags::ACK).frame()
}

/// Returns a header whose identification, options, flags and offset the caller sets.
fn header(to: SocketAddrV4) -> Ipv4Header {
    let (from, to) = (client(1).ip().octets(), to.ip().octets());
    Ipv4Header::new(0, 64, IpNumber::TCP, from, to).expect("fits")
}

fn tcp_in(header: Ipv4Header, to: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ip(IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default()))
        .tcp(40_000, to, 1, 64_000)
        .write(&mut frame, &[7; 100])
        .expect("builds");
    frame
}

#[test]
#[ignore = "needs root"]
fn the_verifier_is_not_strained_by_the_guard() {
    let count = Guard::load().verified_instructions();
    println!("{count} instructions verified");
    assert!(count < VERIFIER_BUDGET, "{count}");
}

#[test]
#[ignore = "needs root"]
fn tcp_to_a_service_is_guarded_whatever_its_flags() {
    let mut guard = guard();
    let flags = [Flags::SYN, Flags::ACK, Flags::SYN_ACK, Flags::FIN, Flags::RST, Flags::default()];
    for flags in flags {
        let frame = Segment::new(client(40_000), VIP, flags).frame();
        assert_eq!(guard.run(&frame), Verdict::Dropped, "{flags:?}");
    }
    let last_hop = Segment { ttl: 1, ..Segment::new(client(40_000), VIP, Flags::ACK) };
    assert_eq!(guard.run(&last_hop.frame()), Verdict::Dropped);
}

/// A bridge may forward them to their host: XDP passes them as `other_mac`.
#[test]
#[ignore = "needs root"]
fn frames_to_another_hosts_mac_are_its() {
    let mut guard = guard();
    for (to, verdict) in [(BALANCER_MAC, Verdict::Dropped), (CLIENT_MAC, Verdict::Next)] {
        let mut frame = segment(client(40_000), VIP);
        frame[..6].copy_from_slice(&to);
        assert_eq!(guard.run(&frame), verdict, "{to:x?}");
    }
}

#[test]
#[ignore = "needs root"]
fn tcp_to_other_ports_and_addresses_is_the_hosts() {
    let mut guard = guard();
    let elsewhere = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 11), VIP.port());
    for to in [SocketAddrV4::new(*VIP.ip(), 22), SocketAddrV4::new(SOURCE, 22), elsewhere] {
        assert_eq!(guard.run(&segment(client(40_000), to)), Verdict::Next, "{to}");
    }
}

#[test]
#[ignore = "needs root"]
fn ports_are_found_behind_ip_options() {
    let mut guard = guard();
    for words in 1..=10_usize {
        let mut header = header(VIP);
        header.options = vec![1; words * 4].as_slice().try_into().expect("fits");
        let served = tcp_in(header.clone(), VIP.port());
        assert_eq!(guard.run(&served), Verdict::Dropped, "{words} words of options");
        assert_eq!(guard.run(&tcp_in(header, 22)), Verdict::Next, "{words} words of options");
    }
}

#[test]
#[ignore = "needs root"]
fn first_fragments_are_told_by_their_port_and_later_ones_by_their_address() {
    let mut guard = guard();
    let fragment = |to, offset: u16, more_fragments| Ipv4Header {
        fragment_offset: IpFragOffset::try_new(offset).expect("fits"),
        more_fragments,
        dont_fragment: false,
        ..header(to)
    };
    assert_eq!(guard.run(&tcp_in(fragment(VIP, 0, true), VIP.port())), Verdict::Dropped);
    assert_eq!(guard.run(&tcp_in(fragment(VIP, 0, true), 22)), Verdict::Next);
    for (offset, more) in [(1, true), (3, false), (0x1fff, false)] {
        let later = tcp_in(fragment(VIP, offset, more), 22);
        assert_eq!(guard.run(&later), Verdict::Dropped, "offset {offset}");
        let to_source = SocketAddrV4::new(SOURCE, 0);
        let later = tcp_in(fragment(to_source, offset, more), 22);
        assert_eq!(guard.run(&later), Verdict::Next, "offset {offset}");
    }
}

#[test]
#[ignore = "needs root"]
fn backends_are_guarded_to_ports_of_balanced_connections_only() {
    let mut guard = guard();
    let to = |port| SocketAddrV4::new(SOURCE, port);
    for (port, verdict) in [
        (FIRST_PORT - 1, Verdict::Next),
        (FIRST_PORT, Verdict::Dropped),
        (LAST_PORT, Verdict::Dropped),
        (LAST_PORT + 1, Verdict::Next),
    ] {
        assert_eq!(guard.run(&segment(backend(1), to(port))), verdict, "{port}");
    }
    let mut other_server = backend(1);
    other_server.set_port(22);
    for from in [backend(2), other_server, client(8080)] {
        assert_eq!(guard.run(&segment(from, to(FIRST_PORT))), Verdict::Next, "{from}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_connection_of_the_hosts_own_goes_on_by_a_port_of_that_range() {
    let mut guard = Guard::load();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("iproute2").success());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let server = address(listener.local_addr());
    guard.source(Ipv4Addr::LOCALHOST, 1_024, u16::MAX);
    guard.backend(server);
    let own = TcpStream::connect(server).expect("connected");
    let own = address(own.local_addr());
    // Of a connection that the stack has, and of one that it would answer by a reset.
    assert_eq!(guard.run(&segment(server, own)), Verdict::Next);
    let unknown = SocketAddrV4::new(*own.ip(), own.port() ^ 1);
    assert_eq!(guard.run(&segment(server, unknown)), Verdict::Dropped);
    let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
    let listening = address(listening.local_addr());
    assert_eq!(guard.run(&segment(server, listening)), Verdict::Dropped, "a listener is no peer");
}

fn address(found: std::io::Result<std::net::SocketAddr>) -> SocketAddrV4 {
    match found.expect("known") {
        std::net::SocketAddr::V4(address) => address,
        std::net::SocketAddr::V6(address) => panic!("not IPv4: {address}"),
    }
}

#[test]
#[ignore = "needs root"]
fn what_is_not_untagged_tcp_in_ipv4_is_the_hosts() {
    let mut guard = guard();
    let mut udp = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ipv4(client(1).ip().octets(), VIP.ip().octets(), 64)
        .udp(40_000, VIP.port())
        .write(&mut udp, b"a datagram")
        .expect("builds");
    assert_eq!(guard.run(&udp), Verdict::Next);

    let mut tagged = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .single_vlan(VlanId::try_new(7).expect("fits"))
        .ipv4(client(1).ip().octets(), VIP.ip().octets(), 64)
        .tcp(40_000, VIP.port(), 1, 64_000)
        .write(&mut tagged, &[])
        .expect("builds");
    assert_eq!(guard.run(&tagged), Verdict::Next);

    let mut ipv6 = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, BALANCER_MAC)
        .ipv6([1; 16], [2; 16], 64)
        .tcp(40_000, VIP.port(), 1, 64_000)
        .write(&mut ipv6, &[])
        .expect("builds");
    assert_eq!(guard.run(&ipv6), Verdict::Next);
}

#[test]
#[ignore = "needs root"]
fn every_cut_of_a_packet_is_survived_by_the_guard() {
    /// The kernel's minimum length, and the end of the ports.
    const SHORTEST: usize = 14 + 20;
    const PORTS_END: usize = SHORTEST + 4;
    let mut guard = guard();
    let frame = segment(client(40_000), VIP);
    for length in SHORTEST..=frame.len() {
        let verdict = if length < PORTS_END { Verdict::Next } else { Verdict::Dropped };
        assert_eq!(guard.run(&frame[..length]), verdict, "{length} bytes");
    }
    for ihl in 0..5 {
        let mut frame = frame.clone();
        frame[14] = 0x40 | ihl;
        guard.run(&frame);
    }
}
