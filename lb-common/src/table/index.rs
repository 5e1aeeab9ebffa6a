use super::layout::WAYS;

/// Number of an entry, counted through all buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index(pub u32);

/// Results of the algorithm's steps other than an index. No table is so large.
impl Index {
    /// Nothing to be found.
    pub(super) const MISSING: Self = Self(u32::MAX);
    /// Another CPU is writing what is wanted, or takes one entry after the other.
    pub(super) const BUSY: Self = Self(u32::MAX - 1);
    /// There is a flow of this key.
    pub(super) const KNOWN: Self = Self(u32::MAX - 2);
    /// Connections that must not be evicted hold all entries.
    pub(super) const FULL: Self = Self(u32::MAX - 3);
    /// The bucket is full, or half-open connections have used up their share, or others were faster.
    pub(super) const CROWDED: Self = Self(u32::MAX - 4);

    /// Returns true if it is an index.
    #[inline(always)]
    pub(super) const fn is_some(self) -> bool {
        self.0 < Self::CROWDED.0
    }
}

impl Index {
    #[must_use]
    #[inline(always)]
    pub const fn new(bucket: u32, way: u32) -> Self {
        Self(bucket * WAYS + way)
    }

    #[must_use]
    #[inline(always)]
    pub const fn bucket(self) -> u32 {
        self.0 / WAYS
    }

    /// Returns the other entry of the same cache line, one step away.
    #[must_use]
    #[inline(always)]
    pub(super) const fn neighbour(self) -> Self {
        Self(self.0 ^ 1)
    }

    #[must_use]
    #[inline(always)]
    pub const fn way(self) -> u32 {
        self.0 % WAYS
    }
}
