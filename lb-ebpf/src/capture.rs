//! Recording of packets for `xdplb trace`: see [`lb_common::capture`].

#![expect(unsafe_code, reason = "the loader finds constants by their names")]

use aya_ebpf::{
    Global,
    btf_maps::{PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    capture::{RING_BYTES, Record, Wanted},
    rate_limiter::RateLimiter,
};

use crate::{
    backends,
    raw::{self, Packet, of_this_cpu},
    trail,
};

#[btf_map]
static CAPTURED: RingBuf<Record, { RING_BYTES as usize }> = RingBuf::new();

/// Rate limit of this CPU's records.
#[btf_map]
static CAPTURE_RATE: PerCpuArray<RateLimiter, 1> = PerCpuArray::new();

/// Packets that were wanted, but exceeded the rate limit, or found the ring buffer full.
#[btf_map]
static NOT_CAPTURED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Begins the record of a frame as it came in.
#[inline(always)]
pub(crate) fn begin(packet: &Packet) {
    let Some(record) = trail::record() else { return };
    record.time = raw::precise_now();
    packet.copy_to(&mut record.frames[0]);
}

/// Records a packet whose path has ended, if it is wanted.
#[inline(always)]
pub(crate) fn end(packet: &Packet) {
    let Some(record) = trail::record() else { return };
    let is_drawn = raw::random().checked_rem(CAPTURE_SAMPLE.load()) == Some(0);
    if !is_drawn || !is_wanted(record) {
        return;
    }
    packet.copy_to(&mut record.frames[1]);
    if !is_within_rate() || CAPTURED.output(&*record, 0).is_err() {
        count_left_out();
    }
}

#[inline(always)]
fn is_wanted(Record { trail, .. }: &Record) -> bool {
    CAPTURE_REASONS.load().unbounded_shr(trail.reason) & 1 != 0
        && is_among(&CAPTURE_CLIENT, trail.client, trail.client_port)
        && is_among(&CAPTURE_VIP, trail.vip, trail.vip_port)
        && is_of_backend(trail.backend)
}

#[inline(always)]
fn is_of_backend(id: u32) -> bool {
    let is_any = CAPTURE_BACKEND[MASK].load() == 0;
    is_any
        || backends::get(id)
            .is_some_and(|backend| is_among(&CAPTURE_BACKEND, backend.address, backend.port))
}

#[inline(always)]
fn is_among(wanted: &WantedWords, address: [u8; 16], port: [u8; 2]) -> bool {
    Wanted::from_words(wanted.each_ref().map(Global::load)).has(address, port)
}

#[inline(always)]
fn is_within_rate() -> bool {
    let rate = CAPTURE_RATE.get_ptr_mut(0).map(of_this_cpu);
    rate.is_some_and(|rate| rate.take(raw::now(), CAPTURES_EACH.load()))
}

#[inline(always)]
fn count_left_out() {
    if let Some(count) = NOT_CAPTURED.get_ptr_mut(0) {
        *of_this_cpu(count) += 1;
    }
}

/// The words of a [`Wanted`].
type WantedWords = [Global<u64>; 5];

/// Place of the last word of the mask, which no wanted address lacks.
const MASK: usize = 3;

const ANY: WantedWords = [const { Global::new(0) }; 5];

/// Set by the loader, like those that follow.
#[unsafe(no_mangle)]
static CAPTURE_CLIENT: WantedWords = ANY;

#[unsafe(no_mangle)]
static CAPTURE_VIP: WantedWords = ANY;

#[unsafe(no_mangle)]
static CAPTURE_BACKEND: WantedWords = ANY;

/// The bit of each wanted reason, by its number plus 1.
#[unsafe(no_mangle)]
static CAPTURE_REASONS: Global<u64> = Global::new(u64::MAX);

/// One of this many packets is recorded, at random.
#[unsafe(no_mangle)]
static CAPTURE_SAMPLE: Global<u32> = Global::new(1);

/// Number of packets that a CPU records in each window of a rate limiter.
#[unsafe(no_mangle)]
static CAPTURES_EACH: Global<u32> = Global::new(u32::MAX);
