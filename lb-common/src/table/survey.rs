use super::layout::{HALF_OPEN_WAYS, WAYS};

/// State of a bucket, as a new flow needs it.
///
/// From the lowest bit on: one bit for each step from the flow's home, set if the entry is free; the
/// number of half-open entries; whether one entry is the flow's; and whether one is claimed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey(u32);

impl Survey {
    pub(super) const KNOWN: Self = Self(1 << 24);
    pub(super) const BUSY: Self = Self(1 << 25);

    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Free entries, one bit for each step from the flow's home.
    #[inline(always)]
    const fn free(self) -> u32 {
        self.0 & ((1 << WAYS) - 1)
    }

    /// Returns the number of steps from the flow's home to the nearest free entry; [`WAYS`] if none is
    /// free. Not an `Option`, half of which the compiler leaves undefined, which the verifier refuses.
    #[inline(always)]
    pub(super) const fn nearest_free(self) -> u32 {
        (self.free() | 1 << WAYS).trailing_zeros()
    }

    #[inline(always)]
    pub(super) const fn half_open(self) -> u32 {
        self.0 >> WAYS & 0xff
    }

    /// Returns true if half-open connections have used up their share of the bucket.
    #[inline(always)]
    pub(super) const fn is_flooded(self) -> bool {
        self.half_open() >= HALF_OPEN_WAYS
    }
}
