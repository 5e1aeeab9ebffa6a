//! The XDP program of xdplb: entry point, and the XDP action for each verdict.

#![no_std]
#![no_main]
#![expect(internal_features, reason = "core offers no atomics for BPF but the intrinsics")]
#![expect(clippy::inline_always, reason = "a call costs a spill of all that is known of the frame")]
#![expect(clippy::needless_borrows_for_generic_args, reason = "keys by value cost instructions")]
#![feature(asm_experimental_arch, core_intrinsics)]

mod again;
mod answers;
mod arrival;
mod balance;
mod client_hops;
mod egress;
mod events;
mod flow;
mod forgotten;
mod guard;
mod load;
mod outcome;
mod parse;
mod passive;
mod raw;
mod rewrite;
mod select;
mod service;
mod snat;
mod stats;
mod trace;
mod unforwardable;
mod vip_filter;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use lb_common::reason::{Reason, Verdict};

use crate::{outcome::Outcome, raw::Packet};

#[xdp(frags)]
fn xdplb(ctx: XdpContext) -> u32 {
    let mut packet = Packet::new(ctx);
    let outcome = balance::decide(&mut packet).unwrap_or_else(Outcome::from);
    let (reason, action) = act(outcome);
    stats::verdict(reason, packet.bytes);
    action
}

/// Changes the next hops of replies, as listed by the daemon in a test run's frame: its data are
/// [`ClientHop`](lb_common::event::ClientHop)s. Attached to nothing.
#[xdp]
fn client_hops(ctx: XdpContext) -> u32 {
    client_hops::write(&mut Packet::new(ctx));
    xdp_action::XDP_PASS
}

#[inline(always)]
fn act(Outcome { reason, egress }: Outcome) -> (Reason, u32) {
    match reason.verdict() {
        Verdict::Pass => (reason, xdp_action::XDP_PASS),
        Verdict::Drop => (reason, xdp_action::XDP_DROP),
        Verdict::Tx => match egress.transmit() {
            Ok(action) => (reason, action),
            Err(reason) => (reason, xdp_action::XDP_DROP),
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
