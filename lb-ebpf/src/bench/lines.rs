//! Programs that do nothing with a packet but read lines of memory by its hash: the floors of every
//! balancer that keeps its flows in memory.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    btf_maps::Array,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    flow::FlowKey,
    table::{Hash, Seed},
};

use crate::{astray, frame};

/// A cache line.
#[repr(C, align(64))]
struct Line {
    word: u64,
    rest: [u64; 7],
}

/// As much memory as the flow table that is measured beside it, all zeros.
#[btf_map]
static LINES: Array<Line, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Number of lines. Set by the loader.
#[unsafe(no_mangle)]
static LINE_COUNT: u32 = 1;

/// What the packet before has read.
#[btf_map]
static BEFORE: Array<u64, 1> = Array::new();

/// Reads one line.
#[xdp(frags)]
fn one_line(ctx: XdpContext) -> u32 {
    verdict(hash(&ctx).and_then(|hash| Some(read(line(hash, 0)?))))
}

/// As `one_line`, but in turn.
#[xdp(frags)]
fn one_line_waited(ctx: XdpContext) -> u32 {
    verdict(in_turn(&ctx, |hash| Some(read(line(hash, 0)?))))
}

/// Reads two lines at the same time, in turn.
#[xdp(frags)]
fn two_lines(ctx: XdpContext) -> u32 {
    verdict(in_turn(&ctx, |hash| {
        let (first, second) = (line(hash, 0)?, line(hash, 1)?);
        Some(read(first) | read(second))
    }))
}

/// Reads lines at addresses that depend on what the packet before has read, so that no CPU can ask for
/// them earlier. A locked operation would not do: some CPUs execute later loads while its line is on the
/// way.
#[inline(always)]
fn in_turn(ctx: &XdpContext, lines: impl Fn(Hash) -> Option<u64>) -> Option<u64> {
    let before = BEFORE.get_ptr_mut(0)?;
    let hash = Hash(hash(ctx)?.0 ^ read(before));
    let word = lines(hash)?;
    // SAFETY: the pointer is to a map's value, and only this CPU uses it.
    unsafe { before.write_volatile(word) };
    Some(word)
}

#[inline(always)]
fn verdict(word: Option<u64>) -> u32 {
    if word == Some(0) { xdp_action::XDP_TX } else { astray::abort() }
}

#[inline(always)]
fn hash(ctx: &XdpContext) -> Option<Hash> {
    const SEED: Seed = Seed::of_number(0);
    Some(SEED.hash(&FlowKey::of(frame::headers(ctx)?)))
}

/// Returns the word of one of the lines for this hash.
#[inline(always)]
fn line(hash: Hash, choice: u32) -> Option<*mut u64> {
    // SAFETY: the pointer comes from a reference.
    let lines = unsafe { (&raw const LINE_COUNT).read_volatile() };
    LINES.get_ptr_mut(hash.bucket(choice, lines)).map(<*mut Line>::cast)
}

#[inline(always)]
fn read(word: *mut u64) -> u64 {
    // SAFETY: the pointer is to a map's value.
    unsafe { word.read_volatile() }
}
