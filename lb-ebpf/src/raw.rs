//! All raw pointers and helper calls of this crate.

#![expect(unsafe_code, reason = "frames, map values and helpers are pointers to the verifier")]

mod skb;

use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg},
    mem::offset_of,
    ptr::NonNull,
};

use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::xdp_md,
    helpers::generated::{
        bpf_get_prandom_u32, bpf_jiffies64, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
    },
    programs::XdpContext,
};
use bytemuck::Pod;
use lb_common::{
    backend::Hop,
    clock::Scale,
    flow::{Flow, FlowKey, Rewrite},
    table::{self, PlainBucket, PlainLine, Seed, Tag, WAYS},
};

pub(crate) use self::skb::{Aligned, From, is_ipv4, is_of_own_connection, is_tagged, load};

/// Not relaxed: LLVM's BPF target loses the old value of a relaxed operation.
const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;
const LOAD_ORDER: AtomicOrdering = AtomicOrdering::Acquire;

/// A received frame.
pub(crate) struct Packet {
    pub(crate) ctx: XdpContext,
    /// Length on arrival, from the Ethernet header on: of all buffers, once more was requested than
    /// is in the first one.
    pub(crate) bytes: u64,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn new(ctx: XdpContext) -> Self {
        let bytes = (ctx.data_end() - ctx.data()) as u64;
        Self { ctx, bytes }
    }

    /// Returns another handle on the context, for callers that only pass it on.
    #[inline(always)]
    pub(crate) fn context(&self) -> XdpContext {
        XdpContext::new(self.ctx.ctx)
    }

    /// Returns the length from the Ethernet header on, without further buffers.
    #[inline(always)]
    pub(crate) fn length(&self) -> usize {
        self.ctx.data_end() - self.ctx.data()
    }

    #[inline(always)]
    pub(crate) fn ingress(&self) -> u32 {
        let md = self.ctx.as_ptr().cast::<xdp_md>();
        // SAFETY: the kernel hands every XDP program a valid context.
        unsafe { (*md).ingress_ifindex }
    }

    /// Returns the header at `offset`, or `None` if the frame ends before it does.
    #[inline(always)]
    pub(crate) fn at<T: Pod>(&mut self, offset: usize) -> Option<&mut T> {
        const { assert!(align_of::<T>() == 1) };
        let start = self.ctx.data() + offset;
        if start + size_of::<T>() > self.ctx.data_end() {
            return None;
        }
        // SAFETY: the bytes lie in the frame, any bit pattern is a `T`, any address is aligned for
        // it, and the frame is borrowed mutably.
        Some(unsafe { &mut *(start as *mut T) })
    }

    /// Returns true if the frame has this many bytes in all of its buffers.
    #[inline(always)]
    pub(crate) fn holds(&mut self, length: usize) -> bool {
        if length <= self.length() {
            return true;
        }
        self.bytes = self.whole_length();
        length as u64 <= self.bytes
    }

    /// Returns the length from the Ethernet header on, in all buffers. Costs a helper call.
    #[inline(always)]
    fn whole_length(&self) -> u64 {
        // SAFETY: the context is valid.
        unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) }
    }

    /// Shortens the frame to `length` bytes.
    #[inline(always)]
    pub(crate) fn truncate(&mut self, length: usize) -> Option<()> {
        let excess = self.whole_length().checked_sub(length as u64)?;
        let delta = -i32::try_from(excess).ok()?;
        // SAFETY: the context is valid, and no reference into the frame outlives `&mut self`.
        let failed = unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, delta) };
        (failed == 0).then_some(())
    }
}

/// Returns nanoseconds of the coarse monotonic clock, a few milliseconds late at most.
#[inline(always)]
pub(crate) fn now() -> u64 {
    let scale = Scale { nanos_per_jiffy: NANOS_PER_JIFFY.load(), offset: JIFFIES_OFFSET.load() };
    // SAFETY: takes no arguments and has no preconditions.
    scale.nanos(unsafe { bpf_jiffies64() })
}

/// Returns a copy of a map's value, as another CPU may recycle the element.
#[inline(always)]
pub(crate) fn copied<T: Pod>(value: *const T) -> T {
    // SAFETY: the pointer comes from a map lookup that succeeded.
    unsafe { *value }
}

/// Takes a ticket: each caller on any CPU gets a different number.
#[inline(always)]
pub(crate) fn ticket(counter: *mut u64) -> u64 {
    // SAFETY: the pointer comes from a map lookup that succeeded, and counters are only ever
    // changed atomically.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, 1_u64) }
}

/// Skips this many tickets.
#[inline(always)]
pub(crate) fn skip(counter: *mut u64, tickets: u64) {
    // SAFETY: as in `ticket`.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, tickets) };
}

/// Reads a word that others write concurrently.
#[inline(always)]
pub(crate) fn word<T: Pod>(value: *const T) -> T {
    // SAFETY: the pointer comes from a map lookup that succeeded.
    unsafe { value.read_volatile() }
}

/// Writes a word that others read and write concurrently.
#[inline(always)]
pub(crate) fn set_word<T: Pod>(value: *mut T, word: T) {
    // SAFETY: as in `word`.
    unsafe { value.write_volatile(word) }
}

/// Adds to a counter that others change concurrently.
#[inline(always)]
pub(crate) fn add(counter: *mut i64, change: i64) {
    // SAFETY: as in `ticket`.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, change) };
}

/// Returns a random number.
#[inline(always)]
pub(crate) fn random() -> u32 {
    // SAFETY: takes no arguments and has no preconditions.
    unsafe { bpf_get_prandom_u32() }
}

/// Returns this CPU's own value of a per-CPU map.
#[inline(always)]
pub(crate) fn of_this_cpu<T>(value: *mut T) -> &'static mut T {
    // SAFETY: the pointer comes from a lookup that succeeded; XDP programs on one CPU run one
    // after another, and no caller holds two references at once.
    unsafe { &mut *value }
}

/// Masks a way, which is less than [`WAYS`], so that the verifier sees the bound. The compiler
/// omits a mask in Rust where it knows the bound from elsewhere.
#[inline(always)]
fn masked(way: u32) -> usize {
    let mut way = way as usize;
    // SAFETY: touches nothing but the register.
    unsafe {
        asm!("{way} &= {last}", way = inout(reg) way, last = const WAYS - 1,
            options(pure, nomem, nostack));
    }
    way
}

/// Returns the seed of the flow table's hash.
#[inline(always)]
pub(crate) fn flow_seed() -> Seed {
    Seed([FLOW_SEED[0].load(), FLOW_SEED[1].load(), FLOW_SEED[2].load(), FLOW_SEED[3].load()])
}

/// Returns the number of buckets of the flow table.
#[inline(always)]
pub(crate) fn flow_buckets() -> u32 {
    FLOW_BUCKETS.load()
}

/// Returns the number of resets that a CPU may send in each window of a rate limiter.
#[inline(always)]
pub(crate) fn resets_each() -> u32 {
    RESETS_EACH.load()
}

/// Set by the loader.
#[unsafe(no_mangle)]
static RESETS_EACH: Global<u32> = Global::new(u32::MAX);

/// Set by the loader.
#[unsafe(no_mangle)]
static NANOS_PER_JIFFY: Global<u64> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static JIFFIES_OFFSET: Global<u64> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static FLOW_SEED: [Global<u64>; 4] = [const { Global::new(0) }; 4];

/// Set by the loader.
#[unsafe(no_mangle)]
static FLOW_BUCKETS: Global<u32> = Global::new(0);

/// Nonzero if this machine may reorder loads and stores. Set by the loader.
#[unsafe(no_mangle)]
static WEAKLY_ORDERED: Global<u8> = Global::new(0);

/// A bucket of the flow table.
#[derive(Clone, Copy)]
pub(crate) struct Bucket(NonNull<PlainLine>);

impl Bucket {
    #[inline(always)]
    pub(crate) fn new(value: *mut PlainBucket) -> Option<Self> {
        NonNull::new(value.cast()).map(Self)
    }
}

impl table::Bucket for Bucket {
    type Line = Line;

    #[inline(always)]
    fn line(self, way: u32) -> Line {
        // SAFETY: the bucket has that many lines.
        Line(unsafe { self.0.add(masked(way)) })
    }
}

/// A line of the flow table, which other CPUs and the control plane write concurrently.
#[derive(Clone, Copy)]
pub(crate) struct Line(NonNull<PlainLine>);

/// Returns the address of a word of a line.
macro_rules! word {
    ($line:expr, $offset:expr) => {
        $line.0.as_ptr().wrapping_byte_add($offset).cast()
    };
}

impl Line {
    #[inline(always)]
    pub(crate) fn rewrite(self) -> Rewrite {
        Rewrite::from_words(self.two_words(FLOW + offset_of!(Flow, rewrite)))
    }

    #[inline(always)]
    fn load<T>(self, offset: usize) -> T {
        let word: *const T = word!(self, offset);
        // SAFETY: the offset is of a word of the line, which stays readable for the program's run.
        unsafe { word.read_volatile() }
    }

    #[inline(always)]
    fn store<T>(self, offset: usize, value: T) {
        let word: *mut T = word!(self, offset);
        // SAFETY: the offset is of a word of the line, which stays writable for the program's run.
        unsafe { word.write_volatile(value) }
    }

    #[inline(always)]
    fn two_words(self, offset: usize) -> [u64; 2] {
        [self.load(offset), self.load(offset + size_of::<u64>())]
    }

    #[inline(always)]
    fn store_two_words(self, offset: usize, words: [u64; 2]) {
        self.store(offset, words[0]);
        self.store(offset + size_of::<u64>(), words[1]);
    }

    /// Reads the tag, with a full barrier.
    #[inline(always)]
    fn ordered_tag(self) -> Tag {
        // SAFETY: the tag stays writable for the program's run, and is only ever changed atomically.
        Tag::from_word(unsafe { atomic_or::<u64, u64, ORDER>(word!(self, 0), 0) })
    }
}

/// Offset of the flow in its line.
const FLOW: usize = offset_of!(PlainLine, flow);

impl table::Line for Line {
    #[inline(always)]
    fn tag(self) -> Tag {
        if WEAKLY_ORDERED.load() != 0 { self.ordered_tag() } else { self.load(0) }
    }

    #[inline(always)]
    fn exchange(self, from: Tag, to: Tag) -> Tag {
        let (from, to) = (from.word(), to.word());
        // SAFETY: as in `ordered_tag`.
        let (found, _) =
            unsafe { atomic_cxchg::<u64, ORDER, LOAD_ORDER>(word!(self, 0), from, to) };
        Tag::from_word(found)
    }

    #[inline(always)]
    fn publish(self, tag: Tag) {
        if WEAKLY_ORDERED.load() == 0 {
            return self.store(0, tag);
        }
        // SAFETY: as in `ordered_tag`.
        unsafe { atomic_xchg::<u64, ORDER>(word!(self, 0), tag.word()) };
    }

    #[inline(always)]
    fn tag_afterwards(self) -> Tag {
        self.tag()
    }

    #[inline(always)]
    fn key(self) -> FlowKey {
        let ports = self.load(FLOW + offset_of!(Flow, seen) - size_of::<u32>());
        FlowKey::of_words(self.load(FLOW), ports)
    }

    #[inline(always)]
    fn partner(self) -> FlowKey {
        self.rewrite().to().turned()
    }

    #[inline(always)]
    fn backend(self) -> u32 {
        self.load(FLOW + offset_of!(Flow, backend))
    }

    #[inline(always)]
    fn client(self) -> Hop {
        Hop::of_words(self.two_words(FLOW + offset_of!(Flow, client)))
    }

    #[inline(always)]
    fn seen(self) -> u32 {
        self.load(FLOW + offset_of!(Flow, seen))
    }

    #[inline(always)]
    fn extra(self) -> u32 {
        self.load(FLOW + offset_of!(Flow, extra))
    }

    #[inline(always)]
    fn set_seen(self, ticks: u32) {
        if self.seen() != ticks {
            self.store(FLOW + offset_of!(Flow, seen), ticks);
        }
    }

    #[inline(always)]
    fn set_extra(self, extra: u32) {
        self.store(FLOW + offset_of!(Flow, extra), extra);
    }

    #[inline(always)]
    fn set_client(self, client: Hop) {
        self.store_two_words(FLOW + offset_of!(Flow, client), client.words());
    }

    #[inline(always)]
    fn write(self, flow: &Flow) {
        // Word by word from registers: a whole flow would exceed the stack.
        let (addresses, ports) = flow.key().as_words();
        self.store(FLOW, addresses);
        self.store(FLOW + size_of::<u64>(), ports);
        self.store(FLOW + offset_of!(Flow, seen), flow.seen);
        self.store_two_words(FLOW + offset_of!(Flow, rewrite), flow.rewrite.words());
        self.set_client(flow.client);
        self.store(FLOW + offset_of!(Flow, backend), flow.backend);
        self.set_extra(flow.extra);
    }
}
