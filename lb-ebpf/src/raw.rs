//! All raw pointers and helper calls of this crate.

#![expect(unsafe_code, reason = "frames, map values and helpers are pointers to the verifier")]

mod entry;
mod index;
mod skb;
mod slot;
mod words;

use core::arch::asm;
use core::intrinsics::atomic_xadd;

#[cfg(feature = "trace")]
use aya_ebpf::helpers::generated::bpf_xdp_load_bytes;
use aya_ebpf::{
    EbpfContext as _, Global,
    bindings::xdp_md,
    helpers::generated::{
        bpf_get_prandom_u32, bpf_get_smp_processor_id, bpf_jiffies64, bpf_ktime_get_ns,
        bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
    },
    programs::XdpContext,
};
use bytemuck::Pod;
#[cfg(feature = "trace")]
use lb_common::{capture::SNAP, halves::low};
use lb_common::{
    clock::Scale,
    flow::FACTORS,
    limits, service_table,
    stats::{Count, TCP_WORDS, TcpStats, TcpWord},
    table::Seed,
};

use self::words::{ORDER, masked};
pub(crate) use self::{
    entry::{Bucket, Entry},
    index::{home_word, index_word, order_loads},
    skb::{Aligned, From, is_ipv4, is_of_own_connection, is_tagged, load},
    slot::Slot,
};
use crate::variant::IS_DRY;

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
    pub(crate) fn whole_length(&self) -> u64 {
        // SAFETY: the context is valid.
        unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) }
    }

    /// Copies the frame's first bytes.
    #[cfg(feature = "trace")]
    #[inline(always)]
    pub(crate) fn copy_to(&self, buffer: &mut [u8; SNAP]) {
        let most = self.whole_length().min(SNAP as u64);
        // As it is at least 1: in these terms, the verifier of Linux 6.1 knows that, too.
        let length = most.wrapping_sub(1) % SNAP as u64 + 1;
        // SAFETY: the context is valid, and the buffer is at least that long. The frame is, as it has an
        // Ethernet header.
        unsafe {
            bpf_xdp_load_bytes(self.ctx.ctx, 0, buffer.as_mut_ptr().cast(), low(length));
        }
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

/// Has an argument passed even if the function does not read it, as the verifier wants it to be: in a dry
/// run some are read nowhere.
#[inline(always)]
pub(crate) fn pass(argument: u64) {
    if IS_DRY {
        // SAFETY: touches nothing but the register.
        unsafe { asm!("{0} = {0}", inout(reg) argument => _, options(nomem, nostack)) };
    }
}

/// Returns nanoseconds of the coarse monotonic clock, a few milliseconds late at most.
#[inline(always)]
pub(crate) fn now() -> u64 {
    let scale = Scale { nanos_per_jiffy: NANOS_PER_JIFFY.load(), offset: JIFFIES_OFFSET.load() };
    // SAFETY: takes no arguments and has no preconditions.
    scale.nanos(unsafe { bpf_jiffies64() })
}

/// Returns nanoseconds of the monotonic clock, at a cost.
#[inline(always)]
pub(crate) fn precise_now() -> u64 {
    // SAFETY: takes no arguments and has no preconditions.
    unsafe { bpf_ktime_get_ns() }
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
    tickets(counter, 1)
}

/// Takes this many tickets, and returns the first one.
#[inline(always)]
pub(crate) fn tickets(counter: *mut u64, count: u64) -> u64 {
    if IS_DRY {
        return word(counter);
    }
    // SAFETY: the pointer comes from a map lookup that succeeded, and counters are only ever
    // changed atomically.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, count) }
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
    if IS_DRY {
        return;
    }
    // SAFETY: as in `word`.
    unsafe { value.write_volatile(word) }
}

/// Adds to a counter that others change concurrently.
#[inline(always)]
pub(crate) fn add(counter: *mut i64, change: i64) {
    if IS_DRY {
        return;
    }
    // SAFETY: as in `tickets`.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, change) };
}

/// Adds to a word of a backend's counters, which others change concurrently.
#[inline(always)]
pub(crate) fn tally(stats: *mut TcpStats, word: TcpWord, by: u64) {
    tickets(stats.cast::<u64>().wrapping_add(masked::<TCP_WORDS>(word.0)), by);
}

/// Sets a flow's account.
#[inline(always)]
pub(crate) fn set_count(count: *mut Count, to: Count) {
    let [packets, bytes] = words_of(count);
    set_word(packets, to.packets);
    set_word(bytes, to.bytes);
}

/// Adds to a flow's account, which others change concurrently.
#[inline(always)]
pub(crate) fn add_to_count(count: *mut Count, by: Count) {
    let [packets, bytes] = words_of(count);
    tickets(packets, by.packets);
    tickets(bytes, by.bytes);
}

#[inline(always)]
fn words_of(count: *mut Count) -> [*mut u64; 2] {
    let first = count.cast::<u64>();
    [first, first.wrapping_add(1)]
}

/// Returns a random number.
#[inline(always)]
pub(crate) fn random() -> u32 {
    // SAFETY: takes no arguments and has no preconditions.
    unsafe { bpf_get_prandom_u32() }
}

/// Returns the number of this CPU, which the program does not leave.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    // SAFETY: takes no arguments and has no preconditions.
    unsafe { bpf_get_smp_processor_id() }
}

/// Returns this CPU's own value of a per-CPU map.
#[inline(always)]
pub(crate) fn of_this_cpu<T>(value: *mut T) -> &'static mut T {
    // SAFETY: the pointer comes from a lookup that succeeded; XDP programs on one CPU run one
    // after another, and no caller holds two references at once.
    unsafe { &mut *value }
}

/// Returns this CPU's own value of a per-CPU map, to be changed: in a dry run a copy, which is put into
/// `copy`.
#[inline(always)]
pub(crate) fn changeable<T: Copy + 'static>(value: *mut T, copy: &mut Option<T>) -> &mut T {
    let own = of_this_cpu(value);
    if IS_DRY { copy.insert(*own) } else { own }
}

/// Returns the seed of the flow table's hash.
#[inline(always)]
pub(crate) fn flow_seed() -> Seed {
    Seed(FLOW_SEED.each_ref().map(Global::load))
}

/// Returns the number of buckets of the flow table.
#[inline(always)]
pub(crate) fn flow_buckets() -> u32 {
    FLOW_BUCKETS.load()
}

/// Returns the number of buckets of the index of services.
#[inline(always)]
pub(crate) fn service_buckets() -> u32 {
    SERVICE_BUCKETS.load()
}

/// Returns true if packets and bytes of each flow are counted.
#[inline(always)]
pub(crate) fn is_accounting() -> bool {
    ACCOUNTING.load() != 0
}

/// Returns true if addresses are in groups.
#[inline(always)]
pub(crate) fn has_groups() -> bool {
    HAS_GROUPS.load() != 0
}

/// Returns the length of a lane of the numbers of connections.
#[inline(always)]
pub(crate) fn active_lane() -> u32 {
    ACTIVE_LANE.load()
}

/// Returns the number of resets that a CPU may send in each window of a rate limiter.
#[inline(always)]
pub(crate) fn resets_each() -> u32 {
    RESETS_EACH.load()
}

/// Set by the loader.
#[unsafe(no_mangle)]
static SERVICE_BUCKETS: Global<u32> = Global::new(service_table::buckets(limits::SERVICES));

/// Set by the loader.
#[unsafe(no_mangle)]
static RESETS_EACH: Global<u32> = Global::new(u32::MAX);

/// Set by the loader.
#[unsafe(no_mangle)]
static ACCOUNTING: Global<u8> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static HAS_GROUPS: Global<u8> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static ACTIVE_LANE: Global<u32> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static NANOS_PER_JIFFY: Global<u64> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static JIFFIES_OFFSET: Global<u64> = Global::new(0);

/// Set by the loader.
#[unsafe(no_mangle)]
static FLOW_SEED: [Global<u64>; FACTORS] = [const { Global::new(0) }; FACTORS];

/// Set by the loader.
#[unsafe(no_mangle)]
static FLOW_BUCKETS: Global<u32> = Global::new(0);
