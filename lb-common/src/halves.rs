//! Two numbers in one word, for comparing tuples, and because a global function of an XDP program
//! takes at most five arguments.

/// Joins a lower and an upper half.
#[must_use]
#[inline(always)]
pub const fn join(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub const fn low(word: u64) -> u32 {
    word as u32
}

#[must_use]
#[inline(always)]
pub const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Joins a lower and an upper half of 16 bits each.
#[must_use]
#[inline(always)]
pub const fn join16(low: u16, high: u16) -> u32 {
    low as u32 | (high as u32) << 16
}

#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub const fn low16(word: u32) -> u16 {
    word as u16
}

#[must_use]
#[inline(always)]
pub const fn high16(word: u32) -> u16 {
    (word >> 16) as u16
}
