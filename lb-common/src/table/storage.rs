//! Where a table lies. The kernel's program, the control plane and the tests each bring their own.

use super::{
    Hash, Seed, Tag, WAYS,
    claim::{Chosen, Survey, Victims, choose, claim, has_twin, survey, victim},
    find::search,
    pair::{remove, revive},
};
use crate::{
    backend::Hop,
    flow::{Flow, FlowKey, State},
};

/// A table of [`buckets`](Self::buckets) buckets.
///
/// The provided methods are steps of the algorithm with plain numbers for arguments. The kernel's
/// program replaces each by a function with the same body, which the verifier then looks at once
/// instead of once a call.
pub trait Table: Copy {
    type Bucket: Bucket;

    fn seed(self) -> Seed;
    fn buckets(self) -> u32;

    /// Nothing if there are not so many.
    fn bucket(self, index: u32) -> Option<Self::Bucket>;

    /// Counts a connection that had to make room for another one.
    fn evicted(self, state: State);

    /// Counts a backend's connections that [are active](Tag::is_active): so many more.
    fn add_active(self, backend: u32, change: i64);

    #[inline(always)]
    fn search(self, hash: Hash, key: &FlowKey, choice: u32) -> Place {
        search(self, hash, key, choice)
    }

    #[inline(always)]
    fn claim(self, key: &FlowKey, now: u32) -> Place {
        claim(self, key, now)
    }

    #[inline(always)]
    fn choose(self, hash: Hash, key: &FlowKey, now: u32, choice: u32) -> Chosen {
        choose(self, hash, key, now, choice)
    }

    #[inline(always)]
    fn survey(self, bucket: u32, hash: Hash, key: &FlowKey) -> Survey {
        survey(self, bucket, hash, key)
    }

    #[inline(always)]
    fn has_twin(self, place: Place, hash: Hash, key: &FlowKey) -> bool {
        has_twin(self, place, hash, key)
    }

    #[inline(always)]
    fn victim(self, bucket: u32, now: u32, victims: Victims) -> Chosen {
        victim(self, bucket, now, victims)
    }

    #[inline(always)]
    fn remove(self, place: Place, tag: Tag, to: Tag, now: u32) -> bool {
        remove(self, place, tag, to, now)
    }

    #[inline(always)]
    fn revive(self, place: Place, tag: Tag) -> bool {
        revive(self, place, tag)
    }
}

/// Where a line is: its number, counted through all buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

impl Place {
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

    #[must_use]
    #[inline(always)]
    pub const fn way(self) -> u32 {
        self.0 % WAYS
    }
}

/// [`WAYS`](super::WAYS) lines.
pub trait Bucket: Copy {
    type Line: Line;

    /// `way` is less than [`WAYS`](super::WAYS).
    fn line(self, way: u32) -> Self::Line;
}

/// One flow's place: a tag, and a [`Flow`] that means something while the tag says so.
///
/// Of a line that is not claimed by the reader all reads may be of another flow than the one whose
/// tag was read: what was read holds if the tag still [is the same flow's](Tag::is_same_flow)
/// afterwards.
pub trait Line: Copy {
    /// No later read of the line happens before it.
    fn tag(self) -> Tag;

    /// Compare-and-swap, a full barrier; returns the former tag, which is `from` if it succeeded.
    fn exchange(self, from: Tag, to: Tag) -> Tag;

    /// Sets the tag of a line that the caller has claimed, after all that was written to it.
    fn publish(self, tag: Tag);

    /// The tag, after all reads from before.
    fn tag_afterwards(self) -> Tag;

    fn key(self) -> FlowKey;
    fn partner(self) -> FlowKey;
    fn backend(self) -> u32;
    fn client(self) -> Hop;
    fn seen(self) -> u32;
    /// As [`Flow::extra`].
    fn extra(self) -> u32;

    /// May be called by everybody.
    fn set_seen(self, ticks: u32);
    /// May be called by everybody.
    fn set_extra(self, extra: u32);
    /// Only of a line that the caller has claimed.
    fn set_client(self, client: Hop);
    /// Only of a line that the caller has claimed.
    fn write(self, flow: &Flow);
}

/// Swaps and says whether it succeeded.
#[inline(always)]
pub(super) fn swap(line: impl Line, from: Tag, to: Tag) -> bool {
    line.exchange(from, to) == from
}
