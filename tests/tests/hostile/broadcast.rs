//! Packets from broadcast addresses, whose answers would reach whole networks.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd as _,
};

use lb_model::views::Stats;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    frame::{Flags, Segment},
    servers::attempt,
    site::{Arms, empty_testbed, text, vip},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};

/// Length of a frame's Ethernet header.
const ETHERNET: usize = 14;

/// A client of the clients' network.
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// Broadcast addresses of the clients' network, and of one added to the balancer meanwhile.
const BROADCASTS: [Ipv4Addr; 2] =
    [Ipv4Addr::new(203, 0, 113, 255), Ipv4Addr::new(198, 51, 100, 63)];

#[test]
#[ignore = "needs root"]
fn broadcast_addresses_of_the_balancers_networks_are_no_clients() {
    let testbed = empty_testbed(Arms::Two);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    let [of_clients, of_another] = BROADCASTS;
    let is_martian = |source| {
        let before = ["martian_source", "bad_flags"].map(|reason| count(&balancer, reason));
        send(&testbed, source, Flags::SYN);
        // It arrives after the other one.
        send(&testbed, CLIENT, Flags::NONE);
        balancer.wait_for("the second packet", || count(&balancer, "bad_flags") > before[1]);
        count(&balancer, "martian_source") > before[0]
    };
    assert!(!is_martian(CLIENT));
    balancer.wait_for("the clients' network", || is_martian(of_clients));
    assert!(!is_martian(of_another), "the balancer is not on that network");
    let change = |verb| {
        let words = ["address", verb, "198.51.100.1/26", "dev", "eth0"];
        assert!(attempt(testbed.balancer(), "ip", &words).status.success(), "{words:?}");
    };
    change("add");
    balancer.wait_for("another network", || is_martian(of_another));
    change("del");
    balancer.wait_for("that it is gone", || !is_martian(of_another));
    assert!(is_martian(of_clients), "this one stays");
}

/// Sends a segment to the service from the client's host. The kernel fills in the header's checksum.
fn send(testbed: &Testbed, source: Ipv4Addr, flags: Flags) {
    let std::net::SocketAddr::V4(to) = vip(testbed) else { panic!("IPv4") };
    let frame = Segment::new(SocketAddrV4::new(source, 40_000), to, flags).frame();
    let sent = testbed.clients()[0].namespace.run(|| {
        let (kind, protocol) = (SockType::Raw, SockProtocol::Raw);
        let socket = socket(AddressFamily::Inet, kind, SockFlag::empty(), protocol)?;
        let to = SockaddrIn::from(SocketAddrV4::new(*to.ip(), 0));
        sendto(socket.as_raw_fd(), &frame[ETHERNET..], &to, MsgFlags::empty())
    });
    sent.expect("entered").expect("sent");
}

/// Returns the number of packets counted for this reason.
fn count(balancer: &Balancer, reason: &str) -> u64 {
    let stats: Stats =
        serde_json::from_str(&balancer.done(&["stats", "-o", "json"])).expect("the shape");
    let found = stats.packets.iter().find(|view| view.reason == reason);
    found.expect("listed").packets
}
