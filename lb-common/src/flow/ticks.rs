//! A clock for idle times: units of 2^20 ns, about 1.05 ms, which wrap after 52 days.

#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the clock wraps")]
pub const fn from_nanos(nanos: u64) -> u32 {
    (nanos >> 20) as u32
}

/// Ticks between two moments that are less than 26 days apart; 0 if `later` is earlier, as it may
/// seem on another CPU.
#[must_use]
#[inline(always)]
pub const fn between(earlier: u32, later: u32) -> u32 {
    let elapsed = later.wrapping_sub(earlier);
    if elapsed > u32::MAX / 2 { 0 } else { elapsed }
}

/// As [`between`], in nanoseconds.
#[must_use]
#[inline(always)]
pub const fn nanos_between(earlier: u32, later: u32) -> u64 {
    (between(earlier, later) as u64) << 20
}
