//! Programs of the benchmark: baselines to compare with, a harness that sends a program whole
//! frames each time, although the program rewrites them, and a generator of live frames.

#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "frames and map values are pointers to the verifier")]
#![expect(clippy::inline_always, reason = "a call costs a spill of what is known of the frame")]
#![expect(clippy::needless_pass_by_value, reason = "the kernel hands the context over")]
#![expect(internal_features, reason = "core offers no atomics for BPF but the intrinsics")]
#![feature(core_intrinsics)]

use core::intrinsics::{AtomicOrdering, atomic_or};

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::{Array, ProgramArray},
    helpers::{bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    flow::FlowKey,
    table::{PlainBucket, Seed},
    template::{BURST, FRAME_LENGTH, STEP, Template},
    volley::Volley,
    wire::{ETHERTYPE_IPV4, Ethernet, Headers, IPV4_WITHOUT_OPTIONS, PROTO_TCP},
};

/// Not relaxed: LLVM's BPF target loses the old value of a relaxed operation.
const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;

#[btf_map]
static TEMPLATE: Array<Template, 1> = Array::new();

/// The program under test.
#[btf_map]
static TARGET: ProgramArray<1> = ProgramArray::new();

#[btf_map]
static VOLLEY: Array<Volley, 1> = Array::new();

/// A table with as many buckets as the flow table that is measured beside it, all empty.
#[btf_map]
static LINES: Array<PlainBucket, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Number of buckets. Set by the loader.
#[unsafe(no_mangle)]
static LINE_BUCKETS: u32 = 1;

/// Minimum cost of any balancer.
#[xdp(frags)]
fn xdp_tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Minimum cost of a balancer that keeps its flows in memory: reads the headers, and one line of a
/// table by their hash.
#[xdp(frags)]
fn one_line(ctx: XdpContext) -> u32 {
    // SAFETY: the pointer is to a map's value.
    verdict(line(&ctx).map(|tag| unsafe { tag.read_volatile() }))
}

/// As `one_line`, but the next packet cannot start before this one's line has arrived: a locked
/// operation waits for its line, and everything after it waits for the operation.
#[xdp(frags)]
fn one_line_waited(ctx: XdpContext) -> u32 {
    // SAFETY: the pointer is to a map's value, which nobody accesses otherwise.
    verdict(line(&ctx).map(|tag| unsafe { atomic_or::<u64, u64, ORDER>(tag, 0) }))
}

#[inline(always)]
fn verdict(tag: Option<u64>) -> u32 {
    if tag == Some(0) { xdp_action::XDP_TX } else { xdp_action::XDP_ABORTED }
}

/// Returns the tag of the line for the packet's hash.
#[inline(always)]
fn line(ctx: &XdpContext) -> Option<*mut u64> {
    const SEED: Seed = Seed([
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93,
    ]);
    let start = ctx.data();
    if start + size_of::<Headers>() > ctx.data_end() {
        return None;
    }
    // SAFETY: the headers lie in the frame, and any address is aligned for them.
    let headers = unsafe { &*(start as *const Headers) };
    if headers.ethernet.ethertype != ETHERTYPE_IPV4
        || headers.ip.protocol != PROTO_TCP
        || headers.ip.version_ihl != IPV4_WITHOUT_OPTIONS
        || headers.ip.is_fragment()
    {
        return None;
    }
    // SAFETY: the pointer comes from a reference.
    let buckets = unsafe { (&raw const LINE_BUCKETS).read_volatile() };
    let hash = SEED.hash(&FlowKey::of(headers));
    let bucket = LINES.get_ptr_mut(hash.bucket(0, buckets))?;
    // SAFETY: the bucket has that many lines, and its pointer comes from a map lookup.
    Some(unsafe { &raw mut (*bucket).lines[hash.home() as usize] }.cast())
}

/// Passes the next frame to the program. Runs on one CPU at a time.
#[xdp(frags)]
fn harness(ctx: XdpContext) -> u32 {
    if advance(&ctx).is_some() {
        // SAFETY: nothing here needs to be dropped.
        unsafe { TARGET.tail_call(&ctx, 0) };
    }
    xdp_action::XDP_ABORTED
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

/// Writes the next frame over the present one and sends it. Runs on one CPU at a time.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    let (Some(volley), Some(frame)) = (VOLLEY.get_ptr_mut(0), room(&ctx, 0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let volley = unsafe { &mut *volley };
    volley.write_next(frame);
    // SAFETY: takes no pointers. Without flags it only notes the interface.
    unsafe { bpf_redirect(volley.ifindex, 0) };
    xdp_action::XDP_REDIRECT
}

/// Drops the generator's frames, and passes ARP.
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

/// Minimum cost of a program that leaves a packet to the host.
#[xdp(frags)]
fn xdp_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Returns a frame of a test run.
#[inline(always)]
fn room(ctx: &XdpContext, place: usize) -> Option<&'static mut [u64; FRAME_LENGTH / 8]> {
    let start = ctx.data() + place * FRAME_LENGTH;
    if start + FRAME_LENGTH > ctx.data_end() {
        return None;
    }
    let frame = start as *mut [u64; FRAME_LENGTH / 8];
    // SAFETY: the bytes are in the frame, which starts 256 bytes into a page in a test run, and no
    // caller holds two references to one place.
    Some(unsafe { &mut *frame })
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
