//! What is said of single connections. The daemon sets the level when it loads the program; what
//! lies above it is not in the program at all.

use core::net::Ipv4Addr;

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use lb_common::flow::FlowKey;

/// A connection was opened: its packets are `inside` on the client's side of the balancer, and
/// `outside` on the backend's.
#[inline(always)]
pub(crate) fn opened(context: &XdpContext, inside: &FlowKey, outside: &FlowKey) {
    debug!(
        context,
        "opened {:i}:{} -> {:i}:{} as {:i}:{} -> {:i}:{}",
        Ipv4Addr::from(inside.src()),
        u16::from_be_bytes(inside.src_port()),
        Ipv4Addr::from(inside.dst()),
        u16::from_be_bytes(inside.dst_port()),
        Ipv4Addr::from(outside.src()),
        u16::from_be_bytes(outside.src_port()),
        Ipv4Addr::from(outside.dst()),
        u16::from_be_bytes(outside.dst_port())
    );
}
