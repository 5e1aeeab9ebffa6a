//! Mixing of bits.

/// The finalizer of splitmix64 (S. Vigna's variant 13 of D. Stafford's mixers): every bit of the
/// word affects every bit of the result, and no two words have the same result.
#[must_use]
#[inline(always)]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}
