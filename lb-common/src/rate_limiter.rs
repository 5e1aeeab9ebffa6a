//! A rate limit, kept by counting in short windows.

use bytemuck::{Pod, Zeroable};

use crate::mix::mix;

/// Length of a window in nanoseconds, as a power of two: 67 ms.
const WINDOW: u32 = 26;

const SECOND: u64 = 1_000_000_000;

/// Number of units spent in one window.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RateLimiter {
    window: u64,
    spent: u64,
}

impl RateLimiter {
    /// Spends one of `each` per window, at `now` in nanoseconds. Returns false if none is left.
    #[inline(always)]
    pub fn take(&mut self, now: u64, each: u32) -> bool {
        let window = now >> WINDOW;
        if self.window != window {
            *self = Self { window, spent: 0 };
        }
        self.spent += 1;
        self.spent <= u64::from(each)
    }
}

/// Number of parts that senders are counted in: each /24 network falls into two of them at random, and
/// may spend of either. Another network shares both with it in one of some ten thousand cases only.
pub const PARTS: u32 = 256;

/// Divisor of the whole that gives the share of one part: both together are a sixteenth.
const SHARE: u32 = 32;

/// Returns the two parts of a sender, which differ.
#[must_use]
#[inline(always)]
pub const fn parts_of([a, b, c, _]: [u8; 4], seed: u64) -> [u32; 2] {
    let network = u32::from_ne_bytes([a, b, c, 0]) as u64;
    let random = (mix(network ^ seed) >> 32) as u32;
    let first = random % PARTS;
    [first, (first + 1 + random / PARTS % (PARTS - 1)) % PARTS]
}

/// Returns the share of one part, of `each` per window; one at least.
#[must_use]
#[inline(always)]
pub const fn share_of(each: u32) -> u32 {
    if each < SHARE { 1 } else { each / SHARE }
}

/// Converts a rate per second to one per window; one at least.
#[must_use]
pub fn each_window(per_second: u32) -> u32 {
    let each = (u64::from(per_second) << WINDOW) / SECOND;
    u32::try_from(each).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn networks_hardly_ever_share_both_parts() {
        const SEED: u64 = 7;
        let mut counts = BTreeMap::<_, u32>::new();
        for network in 0..=u16::MAX {
            let [b, c] = network.to_be_bytes();
            let [one, other] = parts_of([10, b, c, 1], SEED);
            assert!(one != other && one < PARTS && other < PARTS);
            assert_eq!(parts_of([10, b, c, 254], SEED), [one, other]);
            *counts.entry([one.min(other), one.max(other)]).or_default() += 1;
        }
        // Two of them for each pair of parts.
        let most = counts.values().max();
        assert!(most.is_some_and(|most| *most < 16), "{most:?}");
    }

    #[test]
    fn no_second_has_more_than_is_allowed() {
        for per_second in [100, 20_000, 1_000_000] {
            let mut limiter = RateLimiter::default();
            let each = each_window(per_second);
            let tries = (0..10 * SECOND).step_by(100);
            let taken = tries.filter(|now| limiter.take(*now, each)).count();
            let allowed = 10 * per_second as usize;
            assert!((allowed * 4 / 5..=allowed + allowed / 100).contains(&taken), "{taken}");
        }
    }
}
