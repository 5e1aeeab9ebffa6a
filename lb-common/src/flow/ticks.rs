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

/// Ticks since the start of something that lasts for less than 52 days; 0 if it seems to start later, by a
/// minute at most.
#[must_use]
pub const fn since(start: u32, now: u32) -> u32 {
    const MINUTE: u32 = from_nanos(60_000_000_000);
    let elapsed = now.wrapping_sub(start);
    if elapsed > u32::MAX - MINUTE { 0 } else { elapsed }
}

/// As [`since`], in nanoseconds.
#[must_use]
pub const fn nanos_since(start: u32, now: u32) -> u64 {
    (since(start, now) as u64) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_lasted_for_a_month_is_that_old() {
        let month = from_nanos(30 * 86_400 * 1_000_000_000);
        for start in [0, 7, u32::MAX - 3] {
            assert_eq!(since(start, start.wrapping_add(month)), month);
            assert_eq!(since(start, start), 0);
            assert_eq!(since(start.wrapping_add(5), start), 0, "as another CPU may see it");
        }
    }
}
