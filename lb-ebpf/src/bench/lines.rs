//! Programs that do nothing with a packet but read lines of memory by its hash: the floors of every
//! balancer that keeps its flows in memory.

use core::intrinsics::{AtomicOrdering, atomic_or};

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

/// Not relaxed: LLVM's BPF target loses the old value of a relaxed operation.
const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;

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

/// Reads one line.
#[xdp(frags)]
fn one_line(ctx: XdpContext) -> u32 {
    verdict(hash(&ctx).and_then(|hash| Some(read(line(hash, 0)?))))
}

/// As `one_line`, but the next packet cannot start before this one's line has arrived: a locked
/// operation waits for its line, and everything after it waits for the operation.
#[xdp(frags)]
fn one_line_waited(ctx: XdpContext) -> u32 {
    verdict(hash(&ctx).and_then(|hash| Some(wait(line(hash, 0)?, 0))))
}

/// Reads two lines at the same time, and waits for both.
#[xdp(frags)]
fn two_lines(ctx: XdpContext) -> u32 {
    verdict(hash(&ctx).and_then(two))
}

#[inline(always)]
fn two(hash: Hash) -> Option<u64> {
    let (first, second) = (line(hash, 0)?, line(hash, 1)?);
    let both = read(first) | read(second);
    Some(wait(first, both))
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

/// Sets bits of a word, which are none, once they are known.
#[inline(always)]
fn wait(word: *mut u64, bits: u64) -> u64 {
    // SAFETY: the pointer is to a map's value, which nobody accesses otherwise.
    unsafe { atomic_or::<u64, u64, ORDER>(word, bits) | bits }
}
