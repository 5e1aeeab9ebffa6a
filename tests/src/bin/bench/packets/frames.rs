//! First frame of each kind. Frames of other connections differ in addresses and ports.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{
    reason::Reason,
    schedule::Scheduler,
    template::FRAME_LENGTH,
    wire::{ETHERTYPE_VLAN, Headers},
};
use lb_tests::frame::{Flags, Segment};

pub(super) type Frame = [u8; FRAME_LENGTH];

/// VIP of the first service.
pub(super) const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 0, 0), 80);
/// VIP of a service without backends.
pub(super) const EMPTY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 1, 0, 0), 80);
/// VIP of a service whose backend has no next hop.
pub(super) const UNREACHABLE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 1, 1, 0), 80);
/// First VIP of services with other schedulers.
const SCHEDULED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 3, 0, 0), 80);
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 2, 0, 0), 80);
/// First client of permanent connections.
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 0), 0);
/// First client of temporary connections.
const GUEST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 19, 0, 0), 0);
/// First backend.
pub(super) const BACKEND: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 0), 8080);
/// Destination of the first backend's first reply.
pub(super) const SOURCE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 0, 0, 1), 0x8000);

/// First packets of a connection, and the program's verdict on each. After these, packets like the
/// last two do not change its state.
pub(super) const HANDSHAKE: [(fn() -> Frame, Reason); 4] = [
    (opening, Reason::Forwarded),
    (accepting, Reason::Replied),
    (known, Reason::Forwarded),
    (reply, Reason::Replied),
];

pub(super) fn opening() -> Frame {
    tcp(CLIENT, VIP, Flags::SYN)
}

fn accepting() -> Frame {
    tcp(BACKEND, SOURCE, Flags::SYN_ACK)
}

pub(super) fn known() -> Frame {
    tcp(CLIENT, VIP, Flags::ACK)
}

pub(super) fn reply() -> Frame {
    tcp(BACKEND, SOURCE, Flags::ACK)
}

pub(super) fn new() -> Frame {
    tcp(GUEST, VIP, Flags::SYN)
}

pub(super) fn new_by_least_connections() -> Frame {
    new_by(Scheduler::LeastConnections)
}

pub(super) fn new_by_maglev() -> Frame {
    new_by(Scheduler::Maglev)
}

pub(super) fn new_by_source_hash() -> Frame {
    new_by(Scheduler::SourceHash)
}

pub(super) fn new_by_random() -> Frame {
    new_by(Scheduler::Random)
}

pub(super) fn new_by_turns_per_cpu() -> Frame {
    new_by(Scheduler::RoundRobinPerCpu)
}

fn new_by(scheduler: Scheduler) -> Frame {
    tcp(GUEST, scheduled(scheduler), Flags::SYN)
}

/// Returns the VIP of the service with this scheduler.
pub(super) fn scheduled(scheduler: Scheduler) -> SocketAddrV4 {
    let [a, .., d] = SCHEDULED.ip().octets();
    let number = scheduler.number().to_le_bytes()[0];
    SocketAddrV4::new(Ipv4Addr::new(a, 3, number, d), SCHEDULED.port())
}

pub(super) fn new_to_unreachable() -> Frame {
    tcp(GUEST, UNREACHABLE, Flags::SYN)
}

pub(super) fn new_to_empty() -> Frame {
    tcp(GUEST, EMPTY, Flags::SYN)
}

pub(super) fn unknown() -> Frame {
    tcp(GUEST, VIP, Flags::ACK)
}

pub(super) fn stray_reset() -> Frame {
    tcp(GUEST, VIP, Flags::RST)
}

pub(super) fn elsewhere() -> Frame {
    tcp(CLIENT, ELSEWHERE, Flags::ACK)
}

pub(super) fn ttl_one() -> Frame {
    changed(|headers| headers.ip.ttl = 1)
}

pub(super) fn ipv6() -> Frame {
    changed(|headers| headers.ethernet.ethertype = [0x86, 0xdd])
}

pub(super) fn vlan() -> Frame {
    changed(|headers| headers.ethernet.ethertype = ETHERTYPE_VLAN)
}

pub(super) fn options() -> Frame {
    changed(|headers| headers.ip.version_ihl = 0x46)
}

pub(super) fn truncated() -> Frame {
    changed(|headers| headers.ip.total_length = u16::MAX.to_be_bytes())
}

pub(super) fn udp() -> Frame {
    changed(|headers| headers.ip.protocol = 17)
}

pub(super) fn fragment() -> Frame {
    change(elsewhere(), as_first_fragment)
}

pub(super) fn fragment_to_service() -> Frame {
    changed(as_first_fragment)
}

const fn as_first_fragment(headers: &mut Headers) {
    headers.ip.fragment = [0x20, 0];
}

pub(super) fn bad_flags() -> Frame {
    tcp(CLIENT, VIP, Flags::SYN_FIN)
}

pub(super) fn other_mac() -> Frame {
    changed(|headers| headers.ethernet.dst[5] ^= 1)
}

pub(super) fn martian_source() -> Frame {
    changed(|headers| headers.ip.src = [127, 0, 0, 1])
}

fn changed(by: impl FnOnce(&mut Headers)) -> Frame {
    change(known(), by)
}

fn change(mut frame: Frame, by: impl FnOnce(&mut Headers)) -> Frame {
    by(bytemuck::from_bytes_mut(&mut frame[..size_of::<Headers>()]));
    frame
}

fn tcp(src: SocketAddrV4, dst: SocketAddrV4, flags: Flags) -> Frame {
    const PAYLOAD: [u8; FRAME_LENGTH - size_of::<Headers>()] = [7; _];
    let segment = Segment::new(src, dst, flags).with_payload(&PAYLOAD);
    segment.frame().try_into().expect("headers and payload are as long as the frame")
}
