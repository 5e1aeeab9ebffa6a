//! The host guard: a tc program that keeps TCP which is the balancer's alone from the host's stack.
//!
//! The host owns the services' addresses, so that its stack would answer such a segment by a reset
//! of the right sequence number, and end a connection that the XDP program knows. Segments come
//! here when no XDP program is attached for a moment, or when XDP has passed them.

#![expect(clippy::needless_pass_by_value, reason = "the kernel hands the context over")]

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, TC_ACT_SHOT, TC_ACT_UNSPEC},
    btf_maps::HashMap,
    macros::{btf_map, classifier},
    programs::TcContext,
};
use lb_common::{
    flow::FlowKey,
    guard::Guarded,
    limits, mapped,
    reason::Reason,
    service::ServiceKey,
    wire::{ETHERTYPE_IPV4, Ethernet, Ipv4, PROTO_TCP},
};

use crate::{addresses, raw, raw::copied, service, stats};

const ADDRESSES: usize = (limits::SERVICES + limits::SNAT_SOURCES) as usize;

/// What the balancer's addresses are for.
#[btf_map]
static GUARD_ADDRESSES: HashMap<[u8; 16], Guarded, ADDRESSES, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Addresses and ports of backends; the values say nothing.
#[btf_map]
static GUARD_BACKENDS: HashMap<
    ServiceKey,
    u32,
    { limits::BACKENDS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// The end of an Ethernet header and an IPv4 header without options, as they lie on the stack: every
/// field aligned, as the verifier wants it there.
#[repr(C, align(8))]
struct Start {
    src_mac_end: u16,
    ethertype: u16,
    version_ihl: u8,
    tos: u8,
    total_length: u16,
    identification: u16,
    fragment: u16,
    ttl: u8,
    protocol: u8,
    checksum: u16,
    src: u32,
    dst: u32,
}

/// Where that is in a frame.
const START: usize = size_of::<Ethernet>() - 4;

const _: () = assert!(START + size_of::<Start>() == size_of::<Ethernet>() + size_of::<Ipv4>());

/// The ports that a TCP header begins with.
#[repr(C)]
struct Ports {
    src: u16,
    dst: u16,
}

impl Start {
    #[inline(always)]
    fn is_tcp_in_ipv4(&self) -> bool {
        self.ethertype == u16::from_ne_bytes(ETHERTYPE_IPV4)
            && self.version_ihl >> 4 == 4
            && self.protocol == PROTO_TCP
    }

    /// Whether this piece of a datagram does not begin with the TCP header.
    #[inline(always)]
    fn is_later_fragment(&self) -> bool {
        const OFFSET: u16 = 0x1fff;
        u16::from_be(self.fragment) & OFFSET != 0
    }

    /// Where the TCP header is in the frame.
    #[inline(always)]
    fn tcp(&self) -> usize {
        size_of::<Ethernet>() + usize::from(self.version_ihl & 0x0f) * 4
    }
}

#[classifier]
fn xdplb_guard(context: TcContext) -> i32 {
    if !is_the_balancers(&context).unwrap_or(false) {
        return TC_ACT_UNSPEC;
    }
    stats::verdict(Reason::Guarded, context.len() as usize);
    TC_ACT_SHOT
}

/// Whether a packet is TCP that the host's stack must not see; `None` if it is not even TCP.
#[inline(always)]
fn is_the_balancers(context: &TcContext) -> Option<bool> {
    // A tagged frame belongs to another network than the interface's own.
    if raw::is_tagged(context) {
        return None;
    }
    let start: Start = context.load(START).ok()?;
    let dst = start.dst.to_ne_bytes();
    if !start.is_tcp_in_ipv4() || !addresses::may_be_ours(dst) {
        return None;
    }
    if start.is_later_fragment() {
        return Some(of_address(dst)?.is_vip != 0);
    }
    let ports: Ports = context.load(start.tcp()).ok()?;
    let (src_port, dst_port) = (ports.src.to_ne_bytes(), ports.dst.to_ne_bytes());
    if service::is_served(dst, dst_port) {
        return Some(true);
    }
    let packet = FlowKey::tcp(start.src.to_ne_bytes(), src_port, dst, dst_port);
    Some(is_from_backend(&packet)? && !raw::is_of_own_connection(context, &packet))
}

/// Whether a packet is from a backend's address and port to an address and port that balanced
/// connections come from.
#[inline(always)]
fn is_from_backend(packet: &FlowKey) -> Option<bool> {
    if !of_address(packet.dst())?.has_port(u16::from_be_bytes(packet.dst_port())) {
        return None;
    }
    let backend = ServiceKey::tcp(mapped(packet.src()), packet.src_port());
    Some(GUARD_BACKENDS.get_ptr(&backend).is_some())
}

#[inline(always)]
fn of_address(address: [u8; 4]) -> Option<Guarded> {
    GUARD_ADDRESSES.get_ptr(&mapped(address)).map(copied)
}
