//! The only raw pointers and helper calls of this crate.

#![expect(unsafe_code, reason = "frames, map values and helpers are pointers to the verifier")]

use core::{
    intrinsics::{AtomicOrdering, atomic_and, atomic_or, atomic_xadd},
    mem::offset_of,
    ops::Deref,
    ptr::NonNull,
};

use aya_ebpf::{
    EbpfContext as _,
    bindings::xdp_md,
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use bytemuck::Pod;
use lb_common::{backend::Hop, flow::Flow};

/// Not relaxed: of a relaxed operation LLVM's BPF target loses the old value.
const ORDER: AtomicOrdering = AtomicOrdering::AcqRel;

/// A received frame.
pub(crate) struct Packet {
    pub(crate) ctx: XdpContext,
}

impl Packet {
    /// A handle on the context alone, for those who only hand it on.
    #[inline(always)]
    pub(crate) fn context(&self) -> XdpContext {
        XdpContext::new(self.ctx.ctx)
    }

    /// Bytes from the Ethernet header on, without those in further buffers.
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

    /// The header at `offset`, or nothing if the frame ends before it does.
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

    /// Whether the frame has this many bytes, in all of its buffers.
    #[inline(always)]
    pub(crate) fn holds(&self, length: usize) -> bool {
        length <= self.length() || length <= self.whole_length()
    }

    /// Bytes from the Ethernet header on, in all of its buffers. A helper call.
    #[inline(always)]
    fn whole_length(&self) -> usize {
        // SAFETY: the context is valid.
        let length = unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) };
        length as usize
    }

    /// Cuts the frame's tail off, so that `length` bytes remain.
    #[inline(always)]
    pub(crate) fn truncate(&mut self, length: usize) -> Option<()> {
        let excess = self.whole_length().checked_sub(length)?;
        let delta = -i32::try_from(excess).ok()?;
        // SAFETY: the context is valid, and no reference into the frame outlives `&mut self`.
        let failed = unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, delta) };
        (failed == 0).then_some(())
    }
}

/// Nanoseconds of the coarse monotonic clock, a few milliseconds behind at most.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: takes no arguments and has no preconditions.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// A copy of a map's value, as another CPU may recycle the element.
#[inline(always)]
pub(crate) fn copied<T: Pod>(value: *const T) -> T {
    // SAFETY: the pointer comes from a map lookup that succeeded.
    unsafe { *value }
}

/// Takes a ticket: each caller on any CPU gets another number.
#[inline(always)]
pub(crate) fn ticket(counter: *mut u64) -> u64 {
    // SAFETY: the pointer comes from a map lookup that succeeded, and counters are only ever
    // changed atomically.
    unsafe { atomic_xadd::<_, _, ORDER>(counter, 1_u64) }
}

/// This CPU's own value of a per-CPU map.
#[inline(always)]
pub(crate) fn of_this_cpu<T>(value: *mut T) -> &'static mut T {
    // SAFETY: the pointer comes from a lookup that succeeded; XDP programs on one CPU run one
    // after another, and no caller holds two references at once.
    unsafe { &mut *value }
}

/// A flow in its table, where other CPUs see it and change its clock, marks and way back.
#[derive(Clone, Copy)]
pub(crate) struct Entry(NonNull<Flow>);

impl Entry {
    #[inline(always)]
    pub(crate) fn new(value: *mut Flow) -> Option<Self> {
        NonNull::new(value).map(Self)
    }

    /// Notes when its last packet went by.
    #[inline(always)]
    pub(crate) fn set_seen(&self, ticks: u32) {
        if self.seen == ticks {
            return;
        }
        // SAFETY: the entry stays writable for the program's run, and the store is one word.
        unsafe { self.field::<u32>(offset_of!(Flow, seen)).write_volatile(ticks) }
    }

    /// Sets marks, and returns those from before.
    #[inline(always)]
    pub(crate) fn mark(&self, marks: u32) -> u32 {
        // SAFETY: as in `set_seen`; marks are only ever changed atomically.
        unsafe { atomic_or::<_, _, ORDER>(self.field::<u32>(offset_of!(Flow, marks)), marks) }
    }

    #[inline(always)]
    pub(crate) fn unmark(&self, marks: u32) {
        // SAFETY: as in `mark`.
        unsafe { atomic_and::<_, _, ORDER>(self.field::<u32>(offset_of!(Flow, marks)), !marks) };
    }

    #[inline(always)]
    pub(crate) fn set_client(&self, hop: Hop) {
        // SAFETY: the entry stays readable for the program's run. A reader on another CPU may see
        // half of the old and half of the new hop for one packet, which TCP mends.
        unsafe { self.field::<Hop>(offset_of!(Flow, client)).write_volatile(hop) }
    }

    /// Where a field lies; the offset is one of the flow's own.
    #[inline(always)]
    const fn field<T>(self, offset: usize) -> *mut T {
        self.0.as_ptr().wrapping_byte_add(offset).cast()
    }
}

impl Deref for Entry {
    type Target = Flow;

    #[inline(always)]
    fn deref(&self) -> &Flow {
        // SAFETY: the kernel keeps the element's memory while the program runs; that it may be
        // recycled for another flow is why callers check keys and claims.
        unsafe { self.0.as_ref() }
    }
}
