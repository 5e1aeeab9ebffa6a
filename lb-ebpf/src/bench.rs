//! Programs of the benchmark: a floor to compare with, a harness that sends a program the same
//! frame each time, although the program rewrites it, and a generator of live frames.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "frames and map values are pointers to the verifier")]
#![expect(clippy::needless_pass_by_value, reason = "the kernel hands the context over")]

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, ProgramArray},
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    template::{FRAME_LENGTH, Template},
    volley::Volley,
    wire::{ETHERTYPE_IPV4, Ethernet},
};

#[btf_map]
static TEMPLATE: Array<Template, 1> = Array::new();

/// The program that is measured.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

#[btf_map]
static VOLLEY: Array<Volley, 1> = Array::new();

/// What any balancer costs at least.
#[xdp(frags)]
fn xdp_tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Writes the next frame over the one that is there and hands it to the program. Runs on one CPU
/// at a time.
#[xdp(frags)]
fn harness(mut ctx: XdpContext) -> u32 {
    let (Some(template), Some(frame)) = (TEMPLATE.get_ptr_mut(0), room(&mut ctx)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let template = unsafe { &mut *template };
    template.write_next(frame);
    // SAFETY: nothing here needs to be dropped.
    unsafe { TARGET.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// Writes the next frame over the one that is there and sends it. Runs on one CPU at a time.
#[xdp]
fn generate(mut ctx: XdpContext) -> u32 {
    let (Some(volley), Some(frame)) = (VOLLEY.get_ptr_mut(0), room(&mut ctx)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let volley = unsafe { &mut *volley };
    volley.write_next(frame);
    // SAFETY: takes no pointers. Without flags it only notes the interface.
    unsafe { bpf_redirect(volley.ifindex, 0) };
    xdp_action::XDP_REDIRECT
}

/// Where the generator's frames end. ARP goes on.
#[xdp(frags)]
fn sink(ctx: XdpContext) -> u32 {
    let start = ctx.data();
    if start + size_of::<Ethernet>() > ctx.data_end() {
        return xdp_action::XDP_DROP;
    }
    // SAFETY: the header lies in the frame, and any address is aligned for it.
    let header = unsafe { &*(start as *const Ethernet) };
    if header.ethertype == ETHERTYPE_IPV4 { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

/// What any program costs that leaves a packet to the host.
#[xdp(frags)]
fn xdp_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The frame of a test run.
#[inline]
fn room(ctx: &mut XdpContext) -> Option<&mut [u8; FRAME_LENGTH]> {
    if ctx.data() + FRAME_LENGTH > ctx.data_end() {
        return None;
    }
    let frame = ctx.data() as *mut [u8; FRAME_LENGTH];
    // SAFETY: the bytes lie in the frame, and any address is aligned for them.
    Some(unsafe { &mut *frame })
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
