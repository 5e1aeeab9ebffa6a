//! Log messages about single connections. The daemon sets the level when it loads the program;
//! messages above it are not in the program at all.

use core::net::Ipv4Addr;

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use lb_common::flow::FlowKey;

/// Logs an opened connection: its packets are `inside` on the client's side of the balancer, and
/// `outside` on the backend's.
#[inline(always)]
pub(crate) fn log(context: &XdpContext, inside: &FlowKey, outside: &FlowKey) {
    if !level_enabled(Level::Debug) {
        return;
    }
    let ((inside, inside_ports), (outside, outside_ports)) =
        (inside.as_words(), outside.as_words());
    log_opened(context.ctx, inside, inside_ports, outside, outside_ports);
}

/// A separate function, as the arguments of the message would exceed the program's stack.
#[inline(never)]
fn log_opened(
    context: *mut xdp_md,
    inside: u64,
    inside_ports: u32,
    outside: u64,
    outside_ports: u32,
) {
    let context = &XdpContext::new(context);
    let inside = FlowKey::of_words(inside, inside_ports);
    let outside = FlowKey::of_words(outside, outside_ports);
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
