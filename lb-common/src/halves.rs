//! Two numbers in one word, as a global function of an XDP program takes no more than five.

/// The word of a lower and an upper half.
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

/// The lower half of a word that has no more than that.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
pub const fn low16(word: u32) -> u16 {
    word as u16
}
