//! Choice of an entry whose connection gives way to a new one.

use super::{Index, Tag};
use crate::flow::{Shape, State, ticks};

/// Idle time after which a half-open connection beyond the [share](super::HALF_OPEN_WAYS) gives way: a
/// second, in which handshakes end, and after which a client retransmits its SYN (RFC 6298).
const HANDSHAKE: u32 = ticks::from_nanos(1_000_000_000);

/// Idle time after which an established connection may be evicted: a minute.
pub const SILENCE: u32 = ticks::from_nanos(60 * 1_000_000_000);

/// An entry that a new flow may get, provided that its tag is what it was when it was chosen: the index,
/// and above it the tag's upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen(u64);

impl Chosen {
    /// No entry, for this reason.
    pub(super) const fn none(reason: Index) -> Self {
        Self(reason.0 as u64)
    }

    #[inline(always)]
    pub(super) const fn entry(index: Index, tag: Tag) -> Self {
        Self(tag.without_reach() & !(u32::MAX as u64) | index.0 as u64)
    }

    #[must_use]
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub(super) const fn index(self) -> Index {
        Index(self.0 as u32)
    }

    /// Returns true if the entry was chosen with this tag, but for its reach.
    #[inline(always)]
    pub(super) const fn is_for(self, tag: Tag) -> bool {
        (self.0 ^ tag.without_reach()) >> 32 == 0
    }

    #[inline(always)]
    pub(super) const fn is_some(self) -> bool {
        self.index().is_some()
    }
}

/// Connections whose entries a new flow may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Victims {
    /// Those that have ended: other buckets come next, before any other connection is evicted.
    Closed,
    /// Half-open ones that nobody seems to continue.
    Stalled,
    HalfOpen,
    All,
}

impl Victims {
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Closed,
            1 => Self::Stalled,
            2 => Self::HalfOpen,
            _ => Self::All,
        }
    }

    #[inline(always)]
    pub(super) const fn include(self, tag: Tag, idle: u32) -> bool {
        let state = tag.state();
        match self {
            Self::Closed => matches!(state, State::Closed),
            Self::Stalled => matches!(state, State::HalfOpen) && idle >= HANDSHAKE,
            Self::HalfOpen => matches!(state, State::HalfOpen),
            Self::All => !is_in_use(tag) || idle >= SILENCE,
        }
    }
}

/// Returns true if both sides are known to use a connection, or if that cannot be seen, its client does.
#[inline(always)]
const fn is_in_use(tag: Tag) -> bool {
    match tag.state() {
        State::Established => true,
        State::Answered => matches!(tag.shape(), Shape::OneWay),
        State::HalfOpen | State::Closing | State::Closed => false,
    }
}
