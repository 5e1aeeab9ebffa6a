//! A table in memory that others write to at the same time: the kernel's, mapped.

use core::{
    fmt::Debug,
    hint::spin_loop,
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release, SeqCst},
        fence,
    },
};

use super::{Bucket, Direct, Entry, Hit, Index, Seed, Storage, Tag, WAYS, layout::entry_bytes};
use crate::{
    backend::Backend,
    flow::{Endpoints, Ends, Family, Flow, Pair, State, Tuple, V4, V6},
};

/// A family whose tables may be shared.
pub trait SharedFamily: Family<PairWords: AsRef<[u64]> + AsMut<[u64]>> {
    /// [`Family::PairWords`], read and written a word at a time.
    type SharedWords: AsRef<[AtomicU64]> + Debug + Default;
}

impl SharedFamily for V4 {
    type SharedWords = [AtomicU64; 2];
}

impl SharedFamily for V6 {
    type SharedWords = [AtomicU64; 5];
}

/// An entry, read and written a word at a time.
#[repr(C, align(32))]
#[derive(Debug)]
pub struct SharedEntry<F: SharedFamily = V4> {
    tag: AtomicU64,
    pair: F::SharedWords,
    last_seen: AtomicU32,
    extra: AtomicU32,
}

/// A bucket, read and written a word at a time.
#[repr(C)]
#[derive(Debug)]
pub struct SharedBucket<F: SharedFamily = V4> {
    entries: [SharedEntry<F>; WAYS as usize],
}

const _: () = assert!(size_of::<SharedEntry<V4>>() == entry_bytes::<V4>());
const _: () = assert!(size_of::<SharedEntry<V6>>() == entry_bytes::<V6>());

impl<F: SharedFamily> Default for SharedEntry<F> {
    fn default() -> Self {
        let (tag, pair, last_seen, extra) = Default::default();
        Self { tag, pair, last_seen, extra }
    }
}

impl<F: SharedFamily> Default for SharedBucket<F> {
    fn default() -> Self {
        Self { entries: Default::default() }
    }
}

/// [`Backend`], read and written a word at a time.
#[repr(C)]
#[derive(Debug)]
pub struct SharedBackend([AtomicU64; size_of::<Backend>() / 8]);

const _: () = assert!(size_of::<SharedBackend>() == size_of::<Backend>());

/// The buckets of a table, the seed by which flows are assigned to them, and the backends by id.
#[derive(Clone, Copy, Debug)]
pub struct SharedTable<'a, F: SharedFamily = V4> {
    pub buckets: &'a [SharedBucket<F>],
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

    /// Sets all of it, for tests and benchmarks.
    pub fn set(&self, backend: &Backend) {
        let words: [u64; size_of::<Backend>() / 8] = bytemuck::must_cast(*backend);
        for (shared, word) in self.0.iter().zip(words) {
            shared.store(word, Relaxed);
        }
    }

    /// The addresses and ports never change while a flow refers to the backend.
    fn endpoints<F: Family>(&self) -> Endpoints<F> {
        // They are in the first cache line.
        let mut words = [0; size_of::<Backend>() / 8];
        for (word, value) in words.iter_mut().zip(&self.0[..8]) {
            *word = value.load(Relaxed);
        }
        (&bytemuck::must_cast::<_, Backend>(words)).endpoints()
    }
}

impl<'a, F: SharedFamily> SharedTable<'a, F> {
    /// Returns all flows, in the order of their memory.
    pub fn flows(self) -> impl Iterator<Item = Hit<&'a SharedEntry<F>>> {
        self.entries().filter(|hit| hit.tag.is_held())
    }

    /// Returns all entries, free ones included.
    pub fn entries(self) -> impl Iterator<Item = Hit<&'a SharedEntry<F>>> {
        let entries = self.buckets.iter().flat_map(|bucket| &bucket.entries);
        (0..).zip(entries).map(|(index, entry)| Hit {
            entry,
            index: Index(index),
            tag: entry.settled_tag(),
        })
    }
}

impl<F: SharedFamily> SharedEntry<F> {
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

impl<F: SharedFamily> Direct for SharedTable<'_, F> {}

impl<'a, F: SharedFamily> Storage for SharedTable<'a, F> {
    type Family = F;
    type Bucket = &'a SharedBucket<F>;
    type Backend = Endpoints<F>;

    fn seed(self) -> Seed {
        self.seed
    }

    fn buckets(self) -> u32 {
        u32::try_from(self.buckets.len()).unwrap_or(u32::MAX)
    }

    fn bucket(self, index: u32) -> Option<Self::Bucket> {
        self.buckets.get(index as usize)
    }

    fn backend(self, id: u32) -> Option<Endpoints<F>> {
        self.backends.get(id as usize).map(SharedBackend::endpoints)
    }

    fn evicted(self, _state: State) {}

    /// Sweeps count all connections themselves.
    fn add_active(self, _backend: u32, _change: i64) {}
}

impl<'a, F: SharedFamily> Bucket for &'a SharedBucket<F> {
    type Family = F;
    type Entry = &'a SharedEntry<F>;

    fn entry(self, way: u32) -> Self::Entry {
        &self.entries[way as usize]
    }
}

/// A flow as it was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot<F: Family = V4> {
    /// Tuple of its packets when they arrive.
    pub key: Tuple<F>,
    /// Tuple of its packets when they leave.
    pub to: Tuple<F>,
    pub flow: Flow<F>,
}

impl<F: Family> Snapshot<F> {
    /// Returns the tuple of the packets that answer it, when they arrive.
    #[must_use]
    pub fn partner(&self) -> Tuple<F> {
        self.to.turned()
    }
}

impl<F: SharedFamily> Hit<&SharedEntry<F>> {
    /// The flow as it was at one moment, unless its entry has been given away since it was found.
    #[must_use]
    pub fn snapshot(&self, table: SharedTable<'_, F>) -> Option<Snapshot<F>> {
        let entry = self.entry;
        let pair = entry.pair();
        let ends = table.endpoints(pair.backend());
        let (protocol, direction) = (self.tag.protocol(), self.direction());
        let key = pair.key(protocol, direction, &ends);
        let to = pair.target(protocol, direction, &ends);
        let flow = Flow { pair, last_seen: entry.last_seen(), extra: entry.extra() };
        self.holds().then_some(Snapshot { key, to, flow })
    }
}

impl<F: SharedFamily> Entry for &SharedEntry<F> {
    type Family = F;

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

    fn pair(self) -> Pair<F> {
        let mut words = F::PairWords::default();
        for (word, shared) in words.as_mut().iter_mut().zip(self.pair.as_ref()) {
            *word = shared.load(Relaxed);
        }
        Pair::of_words(words)
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

    fn set_pair(self, pair: Pair<F>) {
        for (shared, word) in self.pair.as_ref().iter().zip(pair.words().as_ref()) {
            shared.store(*word, Relaxed);
        }
    }

    fn write(self, flow: &Flow<F>) {
        self.set_pair(flow.pair);
        self.last_seen.store(flow.last_seen, Relaxed);
        self.extra.store(flow.extra, Relaxed);
    }
}
