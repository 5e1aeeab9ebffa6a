//! The host guard: a tc program that keeps TCP which is the balancer's alone from the host's stack.
//!
//! The host owns the services' addresses, so that its stack would answer such a segment by a reset
//! of the right sequence number, and end a connection that the XDP program knows. Segments come
//! here when no XDP program is attached for a moment, or when XDP has passed them.

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

/// The headers that every IPv4 packet has.
#[repr(C)]
struct Start {
    ethernet: Ethernet,
    ip: Ipv4,
}

/// The ports that a TCP header begins with.
#[repr(C)]
struct Ports {
    src: [u8; 2],
    dst: [u8; 2],
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
    let Start { ethernet, ip } = context.load(0).ok()?;
    let is_ipv4 = ethernet.ethertype == ETHERTYPE_IPV4 && ip.version_ihl >> 4 == 4;
    if !is_ipv4 || ip.protocol != PROTO_TCP || !addresses::may_be_ours(ip.dst) {
        return None;
    }
    if ip.is_later_fragment() {
        return Some(of_address(ip.dst)?.is_vip != 0);
    }
    let offset = size_of::<Ethernet>() + usize::from(ip.header_length());
    let ports: Ports = context.load(offset).ok()?;
    if service::is_served(ip.dst, ports.dst) {
        return Some(true);
    }
    let packet = FlowKey::tcp(ip.src, ports.src, ip.dst, ports.dst);
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
