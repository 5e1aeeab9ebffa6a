//! What became of earlier attempts of a client to connect.

use lb_common::{
    flow::flags_seen,
    halves::{high, join, low, low16},
};

/// History of a connection attempt: the backend that has refused it, or [`NOBODY`](crate::backends::NOBODY), and the
/// new connection's flags seen of the backends that have. In one word, as a packet's own path has little
/// stack.
#[derive(Clone, Copy, Default)]
pub(crate) struct History(u64);

impl History {
    pub(crate) const fn new(refused_by: u32, seen: u16) -> Self {
        Self(join(refused_by, seen as u32))
    }

    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn flags_seen(self) -> u16 {
        low16(high(self.0))
    }

    /// Returns true if a backend has refused the attempt, as far as is known: only the last two can
    /// be recognized, but by chance another backend is taken for the first of them.
    #[inline(always)]
    pub(crate) fn names(self, backend: u32) -> bool {
        backend == low(self.0) || flags_seen::may_be_first_refuser(self.flags_seen(), backend)
    }
}
