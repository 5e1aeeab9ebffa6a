//! Entries of the flow table.

use core::mem::offset_of;

use lb_common::{
    flow::{Flow, Pair},
    table::{self, PlainBucket, PlainEntry, Tag, WAYS},
};

use super::words::{Words, masked};

/// A bucket of the flow table.
#[derive(Clone, Copy)]
pub(crate) struct Bucket(Words);

impl Bucket {
    #[inline(always)]
    pub(crate) fn new(value: *mut PlainBucket) -> Option<Self> {
        Words::new(value).map(Self)
    }
}

impl table::Bucket for Bucket {
    type Entry = Entry;

    #[inline(always)]
    fn entry(self, way: u32) -> Entry {
        Entry(self.0.after(masked::<WAYS>(way) * size_of::<PlainEntry>()))
    }
}

/// An entry of the flow table.
#[derive(Clone, Copy)]
pub(crate) struct Entry(Words);

const PAIR: usize = offset_of!(PlainEntry, flow) + offset_of!(Flow, pair);
const LAST_SEEN: usize = offset_of!(PlainEntry, flow) + offset_of!(Flow, last_seen);
const EXTRA: usize = offset_of!(PlainEntry, flow) + offset_of!(Flow, extra);

const _: () = assert!(offset_of!(PlainEntry, tag) == 0);

impl table::Entry for Entry {
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
    fn pair(self) -> Pair {
        Pair::of_words(self.0.load_two(PAIR))
    }

    #[inline(always)]
    fn last_seen(self) -> u32 {
        self.0.load(LAST_SEEN)
    }

    #[inline(always)]
    fn extra(self) -> u32 {
        self.0.load(EXTRA)
    }

    #[inline(always)]
    fn set_last_seen(self, ticks: u32) {
        if self.last_seen() != ticks {
            self.0.store(LAST_SEEN, ticks);
        }
    }

    #[inline(always)]
    fn set_extra(self, extra: u32) {
        self.0.store(EXTRA, extra);
    }

    #[inline(always)]
    fn set_pair(self, pair: Pair) {
        self.0.store_two(PAIR, pair.words());
    }

    #[inline(always)]
    fn write(self, flow: &Flow) {
        self.set_pair(flow.pair);
        self.0.store(LAST_SEEN, flow.last_seen);
        self.set_extra(flow.extra);
    }
}
