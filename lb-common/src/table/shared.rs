//! A table in memory that others write to at the same time: the kernel's, mapped.

use core::{
    hint::spin_loop,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

use super::{Bucket, Direct, Entry, Hit, Index, PlainEntry, Seed, Storage, Tag, WAYS};
use crate::{
    backend::Backend,
    flow::{Endpoints, Flow, FlowKey, Pair, State},
};

/// [`PlainEntry`], read and written a word at a time.
#[repr(C, align(32))]
#[derive(Debug, Default)]
pub struct SharedEntry {
    tag: AtomicU64,
    pair: [AtomicU64; 2],
    last_seen: AtomicU32,
    extra: AtomicU32,
}

/// As [`super::PlainBucket`].
#[repr(C)]
#[derive(Debug, Default)]
pub struct SharedBucket {
    entries: [SharedEntry; WAYS as usize],
}

const _: () = assert!(size_of::<SharedEntry>() == size_of::<PlainEntry>());

/// [`Backend`], read and written a word at a time.
#[repr(C)]
#[derive(Debug)]
pub struct SharedBackend([AtomicU64; size_of::<Backend>() / 8]);

const _: () = assert!(size_of::<SharedBackend>() == size_of::<Backend>());

/// The buckets of a table, the seed by which flows are assigned to them, and the backends by id.
#[derive(Clone, Copy, Debug)]
pub struct SharedTable<'a> {
    pub buckets: &'a [SharedBucket],
    pub backends: &'a [SharedBackend],
    pub seed: Seed,
}

impl SharedBackend {
    #[must_use]
    pub fn new(backend: &Backend) -> Self {
        Self(
            bytemuck::must_cast::<Backend, [u64; size_of::<Backend>() / 8]>(*backend)
                .map(AtomicU64::new),
        )
    }

    /// The addresses and ports never change while a flow refers to the backend.
    fn endpoints(&self) -> Endpoints {
        // They are in the first cache line.
        let mut words = [0; size_of::<Backend>() / 8];
        for (word, value) in words.iter_mut().zip(&self.0[..8]) {
            *word = value.load(Relaxed);
        }
        bytemuck::must_cast::<_, Backend>(words).endpoints()
    }
}

impl<'a> SharedTable<'a> {
    /// Returns all flows, in the order of their memory.
    pub fn flows(self) -> impl Iterator<Item = Hit<&'a SharedEntry>> {
        self.entries().filter(|hit| hit.tag.is_held())
    }

    /// Returns all entries, free ones included.
    pub fn entries(self) -> impl Iterator<Item = Hit<&'a SharedEntry>> {
        let entries = self.buckets.iter().flat_map(|bucket| &bucket.entries);
        (0..).zip(entries).map(|(index, entry)| Hit {
            entry,
            index: Index(index),
            tag: entry.settled_tag(),
        })
    }
}

impl SharedEntry {
    /// Returns the tag, as soon as the entry is not being written.
    fn settled_tag(&self) -> Tag {
        /// Longer than an entry is being written, unless the writer was stopped.
        const PATIENCE: u32 = 1 << 20;
        let entry = self;
        for _ in 0..PATIENCE {
            let tag = entry.tag();
            if !tag.is_claimed() {
                return tag;
            }
            spin_loop();
        }
        entry.tag()
    }
}

impl Direct for SharedTable<'_> {}

impl<'a> Storage for SharedTable<'a> {
    type Bucket = &'a SharedBucket;
    type Backend = Endpoints;

    fn seed(self) -> Seed {
        self.seed
    }

    fn buckets(self) -> u32 {
        u32::try_from(self.buckets.len()).unwrap_or(u32::MAX)
    }

    fn bucket(self, index: u32) -> Option<Self::Bucket> {
        self.buckets.get(index as usize)
    }

    fn backend(self, id: u32) -> Option<Endpoints> {
        self.backends.get(id as usize).map(SharedBackend::endpoints)
    }

    fn evicted(self, _state: State) {}

    /// Sweeps count all connections themselves.
    fn add_active(self, _backend: u32, _change: i64) {}
}

impl<'a> Bucket for &'a SharedBucket {
    type Entry = &'a SharedEntry;

    fn entry(self, way: u32) -> Self::Entry {
        &self.entries[way as usize]
    }
}

/// A flow as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Tuple of its packets when they arrive.
    pub key: FlowKey,
    /// Tuple of its packets when they leave.
    pub to: FlowKey,
    pub flow: Flow,
}

impl Snapshot {
    /// Returns the tuple of the packets that answer it, when they arrive.
    #[must_use]
    pub const fn partner(&self) -> FlowKey {
        self.to.turned()
    }
}

impl Hit<&SharedEntry> {
    /// The flow as it was at one moment, unless its entry has been given away since it was found.
    #[must_use]
    pub fn snapshot(&self, table: SharedTable<'_>) -> Option<Snapshot> {
        let entry = self.entry;
        let pair = entry.pair();
        let ends = table.endpoints(pair.backend());
        let direction = self.direction();
        let (key, to) = (pair.key(direction, &ends), pair.target(direction, &ends));
        let flow = Flow { pair, last_seen: entry.last_seen(), extra: entry.extra() };
        self.holds().then_some(Snapshot { key, to, flow })
    }
}

impl Entry for &SharedEntry {
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

    fn pair(self) -> Pair {
        Pair::of_words(self.pair.each_ref().map(|word| word.load(Relaxed)))
    }

    fn last_seen(self) -> u32 {
        self.last_seen.load(Relaxed)
    }

    fn extra(self) -> u32 {
        self.extra.load(Relaxed)
    }

    fn set_last_seen(self, ticks: u32) {
        self.last_seen.store(ticks, Relaxed);
    }

    fn set_extra(self, extra: u32) {
        self.extra.store(extra, Relaxed);
    }

    fn set_pair(self, pair: Pair) {
        for (word, value) in self.pair.iter().zip(pair.words()) {
            word.store(value, Relaxed);
        }
    }

    fn write(self, flow: &Flow) {
        self.set_pair(flow.pair);
        self.last_seen.store(flow.last_seen, Relaxed);
        self.extra.store(flow.extra, Relaxed);
    }
}
