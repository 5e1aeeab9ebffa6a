//! Programs of the benchmark: floors to compare with, a harness that sends a program whole frames
//! each time, although the program rewrites them, and a generator of live frames.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "frames and map values are pointers to the verifier")]
#![expect(clippy::inline_always, reason = "a call costs a spill of what is known of the frame")]
#![expect(clippy::needless_pass_by_value, reason = "the kernel hands the context over")]
#![expect(clippy::needless_borrows_for_generic_args, reason = "keys by value cost instructions")]
#![expect(internal_features, reason = "core offers no atomics for BPF but the intrinsics")]
#![feature(asm_experimental_arch, core_intrinsics)]

mod astray;
mod frame;
mod generator;
mod harness;
mod hash;
mod lines;
mod raw;
mod tables;

/// See `src/variant.rs` of the balancer's program.
mod variant {
    pub(crate) const IS_DRY: bool = false;
}

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Minimum cost of any balancer.
#[xdp(frags)]
fn xdp_tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Minimum cost of a program that leaves a packet to the host.
#[xdp(frags)]
fn xdp_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
