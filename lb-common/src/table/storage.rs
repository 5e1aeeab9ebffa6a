//! Access to a table. The kernel's program, the control plane and the tests each have their own.

use super::{Index, Seed, Tag, layout};
use crate::flow::{Endpoints, Ends, Family, Flow, Pair, State, Tuple};

/// A table's memory and counters.
pub trait Storage: Copy {
    type Family: Family;
    type Bucket: Bucket<Family = Self::Family>;
    type Backend: Ends<Self::Family>;

    /// Number of buckets that a flow may be in; less than that only in tables of fewer buckets.
    const CHOICES: u32 = layout::CHOICES;

    /// Number of times that a claimed entry's tag is read in the hope that the claim ends: for longer
    /// than an entry is being written, even if its memory must be fetched first.
    const PATIENCE: u32 = 64;

    fn seed(self) -> Seed;
    fn buckets(self) -> u32;

    /// Returns `None` if there are not so many buckets.
    fn bucket(self, index: u32) -> Option<Self::Bucket>;

    /// Returns the backend with this id; `None` if there cannot be one.
    fn backend(self, id: u32) -> Option<Self::Backend>;

    /// Returns the addresses and ports that all connections to a backend have in common; zeros if there
    /// cannot be one with this id.
    #[inline(always)]
    fn endpoints(self, backend: u32) -> Endpoints<Self::Family> {
        self.backend(backend).map_or_else(Endpoints::default, Ends::endpoints)
    }

    /// Notes the connection of a flow that is about to make room for another one, for those who want to know of its
    /// end.
    #[inline(always)]
    fn note_end(self, _index: Index, _tag: Tag) {}

    /// Counts a connection that was removed to make room for another one.
    fn evicted(self, state: State);

    /// Adds to the number of a backend's [active](Tag::is_active) connections.
    fn add_active(self, backend: u32, change: i64);
}

/// The tuple of a table's packets.
pub type Key<T> = Tuple<<T as Storage>::Family>;

/// [`WAYS`](layout::WAYS) entries.
pub trait Bucket: Copy {
    type Family: Family;
    type Entry: Entry<Family = Self::Family>;

    /// `way` is less than [`WAYS`](layout::WAYS).
    fn entry(self, way: u32) -> Self::Entry;
}

/// Room for one flow: a tag, and a [`Flow`] that is valid while the tag says so.
///
/// Anything read from an entry that the reader has not claimed may belong to another flow than the one
/// whose tag was read. It is valid if the tag still [is the same flow's](Tag::is_same_flow) afterwards.
pub trait Entry: Copy {
    type Family: Family;

    /// Reads the tag. No later read of the entry happens before.
    fn tag(self) -> Tag;

    /// Compares and swaps, as a full barrier. Returns the former tag, which is `from` on success.
    fn exchange(self, from: Tag, to: Tag) -> Tag;

    /// Sets the tag of an entry that the caller has claimed, after everything written to it.
    fn publish(self, tag: Tag);

    /// Reads the tag, after all earlier reads.
    fn tag_afterwards(self) -> Tag;

    fn pair(self) -> Pair<Self::Family>;
    fn last_seen(self) -> u32;
    /// See [`Flow::extra`].
    fn extra(self) -> u32;

    /// May be called by anybody.
    fn set_last_seen(self, ticks: u32);
    /// May be called by anybody.
    fn set_extra(self, extra: u32);
    /// Requires that the caller has claimed the entry.
    fn set_pair(self, pair: Pair<Self::Family>);
    /// Requires that the caller has claimed the entry.
    fn write(self, flow: &Flow<Self::Family>);
}

/// Swaps the tag. Returns true on success.
#[inline(always)]
pub(super) fn swap(entry: impl Entry, from: Tag, to: Tag) -> bool {
    entry.exchange(from, to) == from
}
