//! Reads the kernel's two coarse clocks at one moment, so that the daemon can relate them.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "clocks are helpers, and a frame is a pointer to the verifier")]
#![expect(clippy::needless_pass_by_value, reason = "the kernel hands the context over")]

use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    macros::xdp,
    programs::XdpContext,
};
use lb_common::clock::Reading;

/// Writes a [`Reading`] over a test run's frame. Attached to nothing.
#[xdp]
fn clock(ctx: XdpContext) -> u32 {
    let start = ctx.data();
    if start + size_of::<Reading>() > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: takes no arguments and has no preconditions.
    let jiffies = unsafe { bpf_jiffies64() };
    // SAFETY: as above.
    let nanos = unsafe { bpf_ktime_get_coarse_ns() };
    // SAFETY: the bytes are in the frame, which nobody else accesses.
    unsafe { (start as *mut Reading).write_unaligned(Reading { jiffies, nanos }) };
    xdp_action::XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
