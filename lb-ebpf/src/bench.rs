//! Programs of the benchmark: a floor to compare with, and a harness that sends a program the same
//! frame each time, although the program rewrites it.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "frames and map values are pointers to the verifier")]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::template::{FRAME_LENGTH, Template};

#[btf_map]
static TEMPLATE: Array<Template, 1> = Array::new();

/// The program that is measured.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

/// What any balancer costs at least.
#[xdp(frags)]
fn xdp_tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Writes the next frame over the one that is there and hands it to the program. Runs on one CPU
/// at a time.
#[xdp(frags)]
fn harness(ctx: XdpContext) -> u32 {
    let Some(template) = TEMPLATE.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    if ctx.data() + FRAME_LENGTH > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let frame = ctx.data() as *mut [u64; FRAME_LENGTH / 8];
    // SAFETY: the bytes lie in the frame, which starts 256 bytes into a page in a test run.
    let frame = unsafe { &mut *frame };
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let template = unsafe { &mut *template };
    template.write_next(frame);
    // SAFETY: nothing here needs to be dropped.
    unsafe { TARGET.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
