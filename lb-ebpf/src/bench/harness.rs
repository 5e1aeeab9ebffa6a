//! A program under test, fed with a new frame each time.

use aya_ebpf::{
    EbpfContext as _,
    btf_maps::{Array, ProgramArray},
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::template::{BURST, FRAME_LENGTH, STEP, Template};

use crate::{astray, frame::room};

#[btf_map]
static TEMPLATE: Array<Template, 1> = Array::new();

/// The program under test.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

/// Passes the next frame to the program. Runs on one CPU at a time.
#[xdp(frags)]
fn harness(ctx: XdpContext) -> u32 {
    if advance(&ctx).is_some() {
        // SAFETY: nothing here needs to be dropped.
        unsafe { TARGET.tail_call(&ctx, 0) };
    }
    astray::abort()
}

/// Moves to the next frame of the burst; writes the next burst over one that is finished.
#[inline(always)]
fn advance(ctx: &XdpContext) -> Option<()> {
    let template = TEMPLATE.get_ptr_mut(0)?;
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let template = unsafe { &mut *template };
    if template.left > 0 {
        template.left -= 1;
        template.place += 1;
        return move_head(ctx, STEP);
    }
    if template.place > 0 {
        move_head(ctx, -(template.place * STEP))?;
        template.place = 0;
    }
    // The program may have shortened the frame.
    let length = ctx.data_end() - ctx.data();
    if length < FRAME_LENGTH {
        let missing = i32::try_from(FRAME_LENGTH - length).ok()?;
        // SAFETY: the context is the one passed by the kernel.
        unsafe { bpf_xdp_adjust_tail(ctx.as_ptr().cast(), missing) };
    }
    for place in 0..BURST as usize {
        if place >= template.burst as usize {
            break;
        }
        template.write_next(room(ctx, place)?);
    }
    template.left = template.burst - 1;
    Some(())
}

#[inline(always)]
fn move_head(ctx: &XdpContext, bytes: i32) -> Option<()> {
    // SAFETY: the context is the one passed by the kernel.
    let moved = unsafe { bpf_xdp_adjust_head(ctx.as_ptr().cast(), bytes) };
    (moved == 0).then_some(())
}
