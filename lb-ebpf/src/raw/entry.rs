//! Entries of the flow table.

use core::marker::PhantomData;

use lb_common::{
    flow::{Family, Flow, Pair},
    table::{self, PAIR_AT, Tag, WAYS, entry_bytes, extra_at, last_seen_at},
};

use super::words::{Words, masked};

/// A bucket of the flow table.
#[derive(Clone, Copy)]
pub(crate) struct Bucket<F>(Words, PhantomData<F>);

/// An entry of the flow table.
#[derive(Clone, Copy)]
pub(crate) struct Entry<F>(Words, PhantomData<F>);

impl<F: Family> Bucket<F> {
    /// Makes a bucket of a map's value, which has the size of one.
    #[inline(always)]
    pub(crate) fn new<T>(value: *mut T) -> Option<Self> {
        const { assert!(size_of::<T>() == WAYS as usize * entry_bytes::<F>()) };
        Some(Self(Words::new(value)?, PhantomData))
    }
}

impl<F: Family<PairWords: AsRef<[u64]> + AsMut<[u64]>>> table::Bucket for Bucket<F> {
    type Family = F;
    type Entry = Entry<F>;

    #[inline(always)]
    fn entry(self, way: u32) -> Entry<F> {
        Entry(self.0.after(masked::<WAYS>(way) * entry_bytes::<F>()), PhantomData)
    }
}

impl<F: Family<PairWords: AsRef<[u64]> + AsMut<[u64]>>> table::Entry for Entry<F> {
    type Family = F;

    #[inline(always)]
    fn tag(self) -> Tag {
        Tag::from_word(self.0.load_ordered())
    }

    #[inline(always)]
    fn exchange(self, from: Tag, to: Tag) -> Tag {
        Tag::from_word(self.0.exchange(from.word(), to.word()))
    }

    #[inline(always)]
    fn publish(self, tag: Tag) {
        self.0.publish(tag.word());
    }

    #[inline(always)]
    fn tag_afterwards(self) -> Tag {
        self.tag()
    }

    #[inline(always)]
    fn pair(self) -> Pair<F> {
        Pair::of_words(self.0.load_words(PAIR_AT))
    }

    #[inline(always)]
    fn last_seen(self) -> u32 {
        self.0.load(last_seen_at::<F>())
    }

    #[inline(always)]
    fn extra(self) -> u32 {
        self.0.load(extra_at::<F>())
    }

    #[inline(always)]
    fn set_last_seen(self, ticks: u32) {
        if self.last_seen() != ticks {
            self.0.store(last_seen_at::<F>(), ticks);
        }
    }

    #[inline(always)]
    fn set_extra(self, extra: u32) {
        self.0.store(extra_at::<F>(), extra);
    }

    #[inline(always)]
    fn set_pair(self, pair: Pair<F>) {
        self.0.store_words(PAIR_AT, pair.words());
    }

    #[inline(always)]
    fn write(self, flow: &Flow<F>) {
        self.set_pair(flow.pair);
        self.0.store(last_seen_at::<F>(), flow.last_seen);
        self.set_extra(flow.extra);
    }
}
