//! The host guard: a tc program that keeps the balancer's own TCP from the host's stack.
//!
//! The host owns the services' addresses, so that its stack would answer such a segment by a reset
//! with the right sequence number, and end a connection of the XDP program. Segments get here while
//! no XDP program is attached, or when XDP has passed them.

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
    wire::{Ipv4, Ports},
};

use crate::{
    arrival, flow, raw,
    raw::{Aligned, From, copied},
    service, stats, vip_filter,
};

const GUARDED: usize = (limits::SERVICES + limits::SNAT_SOURCES) as usize;

/// Uses of the balancer's addresses.
#[btf_map]
static GUARD_ADDRESSES: HashMap<[u8; 16], Guarded, GUARDED, { BPF_F_NO_PREALLOC as usize }> =
    HashMap::new();

/// Addresses and ports of backends; the values have no meaning.
#[btf_map]
static GUARD_BACKENDS: HashMap<
    ServiceKey,
    u32,
    { limits::BACKENDS as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

#[classifier]
fn xdplb_guard(context: TcContext) -> i32 {
    if !is_the_balancers(&context).unwrap_or(false) {
        return TC_ACT_UNSPEC;
    }
    stats::verdict(Reason::Guarded, u64::from(context.len()));
    TC_ACT_SHOT
}

/// Returns true for TCP that the host's stack must not see; `None` if it is not even TCP.
#[inline(always)]
fn is_the_balancers(context: &TcContext) -> Option<bool> {
    // A tagged frame belongs to another network than the interface's own.
    if raw::is_tagged(context) || !raw::is_ipv4(context) {
        return None;
    }
    let Aligned(ip) = raw::load::<Ipv4>(context, From::Network, 0)?;
    if !ip.is_tcp() || !vip_filter::may_be_ours(ip.dst) {
        return None;
    }
    // XDP has passed the others: a bridge may forward them to their host.
    let Aligned(mac) = raw::load::<[u8; 6]>(context, From::Frame, 0)?;
    if !arrival::is_our_mac(mac) {
        return None;
    }
    if ip.is_later_fragment() {
        return Some(of_address(ip.dst)?.is_vip != 0);
    }
    let ports = raw::load::<Ports>(context, From::Network, ip.header_length())?;
    let Aligned(Ports { src: src_port, dst: dst_port }) = ports;
    let packet = FlowKey::tcp(ip.src, src_port, ip.dst, dst_port);
    if service::is_served(ip.dst, dst_port) || flow::is_known(&packet) {
        return Some(true);
    }
    Some(is_from_backend(&packet)? && !raw::is_of_own_connection(context, &packet))
}

/// Returns true if a packet is from a backend's address and port to an address and port of balanced
/// connections.
#[inline(always)]
pub(crate) fn is_from_backend(packet: &FlowKey) -> Option<bool> {
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
