//! The XDP program of xdplb: entry point, and the XDP action for each verdict.

#![no_std]
#![no_main]
#![expect(internal_features, reason = "core offers no atomics for BPF but the intrinsics")]
#![expect(clippy::inline_always, reason = "a call costs a spill of all that is known of the frame")]
#![expect(clippy::needless_borrows_for_generic_args, reason = "keys by value cost instructions")]
#![feature(asm_experimental_arch, core_intrinsics)]

mod accounts;
mod again;
mod answers;
mod arrival;
mod backends;
#[cfg(feature = "trace")]
mod capture;
mod client_hops;
mod egress;
mod events;
mod flow;
mod forgotten;
mod forward;
mod global;
mod group;
mod guard;
mod history;
mod known;
mod load;
mod migration;
mod moves;
mod new;
mod opened;
mod outcome;
mod parse;
mod passive;
mod pipeline;
mod raw;
mod reply;
mod select;
mod service;
mod snat;
mod stats;
mod tcp_stats;
mod trail;
mod unforwardable;
mod variant;
mod vip_filter;

use crate::{outcome::Outcome, raw::Packet};
use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

#[xdp(frags)]
fn xdplb(ctx: XdpContext) -> u32 {
    let mut packet = Packet::new(ctx);
    trail::begin(&packet);
    #[cfg(feature = "trace")]
    capture::begin(&packet);
    let (outcome, action) = act(pipeline::decide(&mut packet));
    stats::verdict(outcome.reason(), packet.bytes);
    trail::ended(&packet, outcome);
    #[cfg(feature = "trace")]
    capture::end(&packet);
    action
}

/// Changes the next hops of replies, as listed by the daemon in a test run's frame: its data are
/// [`ClientHop`](lb_common::event::ClientHop)s. Returns `XDP_DROP` if there is no room for one of
/// them. Attached to nothing.
#[xdp]
fn client_hops(ctx: XdpContext) -> u32 {
    if moves::make(&mut Packet::new(ctx)) { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// Takes over connections of another flow table, as listed by the daemon in a test run's frame: its data
/// are [`Import`](lb_common::table::Import)s, in which it writes their results. Attached to nothing.
#[xdp]
fn import(ctx: XdpContext) -> u32 {
    migration::import(&mut Packet::new(ctx));
    xdp_action::XDP_PASS
}

/// Returns what becomes of a frame: a frame that cannot leave is dropped. And its XDP action.
#[inline(always)]
fn act(outcome: Outcome) -> (Outcome, u32) {
    match outcome {
        Outcome::Pass(_) => (outcome, xdp_action::XDP_PASS),
        Outcome::Drop(_) => (outcome, xdp_action::XDP_DROP),
        Outcome::Tx(egress, _) => match egress.transmit() {
            Ok(action) => (outcome, action),
            Err(refused) => (Outcome::Drop(refused), xdp_action::XDP_DROP),
        },
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[expect(unsafe_code, reason = "the kernel finds the licence by its section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
