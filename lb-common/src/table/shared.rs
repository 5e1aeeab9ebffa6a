//! A table in memory that others write to at the same time: the kernel's, mapped.

use core::{
    hint::spin_loop,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

use super::{Bucket, Hit, Line, Place, PlainLine, Seed, Table, Tag, WAYS};
use crate::{
    backend::Hop,
    flow::{Flow, FlowKey, Rewrite, State},
};

/// [`PlainLine`], read and written a word at a time.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct SharedLine {
    tag: AtomicU64,
    addresses: AtomicU64,
    ports: AtomicU32,
    seen: AtomicU32,
    to: [AtomicU64; 2],
    client: [AtomicU64; 2],
    backend: AtomicU32,
    extra: AtomicU32,
}

/// As [`super::PlainBucket`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct SharedBucket {
    lines: [SharedLine; WAYS as usize],
}

const _: () = assert!(size_of::<SharedLine>() == size_of::<PlainLine>());

/// The buckets of a table, and the seed that says which flow is where.
#[derive(Clone, Copy, Debug)]
pub struct SharedTable<'a> {
    pub buckets: &'a [SharedBucket],
    pub seed: Seed,
}

impl<'a> SharedTable<'a> {
    /// All flows, in the order in which they lie in memory.
    pub fn flows(self) -> impl Iterator<Item = Hit<&'a SharedLine>> {
        let lines = self.buckets.iter().flat_map(|bucket| &bucket.lines);
        (0..).zip(lines).filter_map(|(place, line)| {
            let tag = line.settled_tag();
            tag.is_held().then_some(Hit { line, place: Place(place), tag })
        })
    }
}

impl SharedLine {
    /// The tag, once nobody writes the line.
    fn settled_tag(&self) -> Tag {
        /// Longer than anybody writes, but for one who was stopped.
        const PATIENCE: u32 = 1 << 20;
        let line = self;
        for _ in 0..PATIENCE {
            let tag = line.tag();
            if !tag.is_claimed() {
                return tag;
            }
            spin_loop();
        }
        line.tag()
    }
}

impl<'a> Table for SharedTable<'a> {
    type Bucket = &'a SharedBucket;

    fn seed(self) -> Seed {
        self.seed
    }

    fn buckets(self) -> u32 {
        u32::try_from(self.buckets.len()).unwrap_or(u32::MAX)
    }

    fn bucket(self, index: u32) -> Option<Self::Bucket> {
        self.buckets.get(index as usize)
    }

    fn evicted(self, _state: State) {}

    /// Whoever walks through a table counts anew.
    fn add_active(self, _backend: u32, _change: i64) {}
}

impl<'a> Bucket for &'a SharedBucket {
    type Line = &'a SharedLine;

    fn line(self, way: u32) -> Self::Line {
        &self.lines[way as usize]
    }
}

impl Hit<&SharedLine> {
    /// The flow as it was at one moment, unless its line has been given away since it was found.
    #[must_use]
    pub fn snapshot(&self) -> Option<Flow> {
        let line = self.line;
        let flow = Flow {
            addresses: line.addresses.load(Relaxed),
            ports: line.ports.load(Relaxed),
            seen: line.seen(),
            rewrite: Rewrite::from_words(line.to.each_ref().map(|word| word.load(Relaxed))),
            client: line.client(),
            backend: line.backend(),
            extra: line.extra(),
        };
        self.holds().then_some(flow)
    }
}

impl Line for &SharedLine {
    fn tag(self) -> Tag {
        Tag::from_word(self.tag.load(Acquire))
    }

    fn exchange(self, from: Tag, to: Tag) -> Tag {
        let (Ok(found) | Err(found)) =
            self.tag.compare_exchange(from.word(), to.word(), SeqCst, SeqCst);
        fence(SeqCst);
        Tag::from_word(found)
    }

    fn publish(self, tag: Tag) {
        self.tag.store(tag.word(), Release);
    }

    fn tag_afterwards(self) -> Tag {
        fence(Acquire);
        Tag::from_word(self.tag.load(Relaxed))
    }

    fn key(self) -> FlowKey {
        FlowKey::of_words(self.addresses.load(Relaxed), self.ports.load(Relaxed))
    }

    fn partner(self) -> FlowKey {
        let to = self.to.each_ref().map(|word| word.load(Relaxed));
        Rewrite::from_words(to).to().turned()
    }

    fn backend(self) -> u32 {
        self.backend.load(Relaxed)
    }

    fn client(self) -> Hop {
        Hop::of_words(self.client.each_ref().map(|word| word.load(Relaxed)))
    }

    fn seen(self) -> u32 {
        self.seen.load(Relaxed)
    }

    fn extra(self) -> u32 {
        self.extra.load(Relaxed)
    }

    fn set_seen(self, ticks: u32) {
        self.seen.store(ticks, Relaxed);
    }

    fn set_extra(self, extra: u32) {
        self.extra.store(extra, Relaxed);
    }

    fn set_client(self, client: Hop) {
        for (word, value) in self.client.iter().zip(client.words()) {
            word.store(value, Relaxed);
        }
    }

    fn write(self, flow: &Flow) {
        let (addresses, ports) = flow.key().as_words();
        self.addresses.store(addresses, Relaxed);
        self.ports.store(ports, Relaxed);
        self.seen.store(flow.seen, Relaxed);
        for (word, value) in self.to.iter().zip(flow.rewrite.words()) {
            word.store(value, Relaxed);
        }
        self.set_client(flow.client);
        self.backend.store(flow.backend, Relaxed);
        self.extra.store(flow.extra, Relaxed);
    }
}
