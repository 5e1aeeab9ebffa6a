use super::{Family, Pair, V4, flags_seen};

/// One direction of a connection: a table's entry without its tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow<F: Family = V4> {
    pub pair: Pair<F>,
    /// Time of its last packet, in [`ticks`].
    pub last_seen: u32,
    /// In the entry towards the client: the connection's number, see [`Progress`]. In the entry towards
    /// the backend: the start time of the connection, in [`ticks`]; but its other number from the
    /// backend's SYN until the backend has shown that it knows the connection.
    pub extra: u32,
}

impl<F: Family> Flow<F> {
    /// Returns an entry of a pair, created now.
    #[must_use]
    #[inline(always)]
    pub const fn new(pair: Pair<F>, now: u32) -> Self {
        Self { pair, last_seen: now, extra: now }
    }

    /// The same with another [`extra`](Self::extra).
    #[must_use]
    #[inline(always)]
    pub const fn with_extra(self, extra: u32) -> Self {
        Self { extra, ..self }
    }

    /// Returns the start time of the connection, in [`ticks`], of an entry towards the backend with these
    /// flags seen; the time of the last packet while the entry has no room for it.
    #[must_use]
    #[inline(always)]
    pub const fn began(&self, seen: u16) -> u32 {
        if flags_seen::is_dated(seen) { self.extra } else { self.last_seen }
    }
}
