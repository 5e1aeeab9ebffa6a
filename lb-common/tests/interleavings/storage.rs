//! A table of one bucket in loom's atomics. Most of its entries belong to connections that stay, so
//! that there is less to explore.

use std::{marker::PhantomData, sync::atomic::AtomicI64};

use lb_common::{
    flow::{Endpoints, Flow, Pair, Protocol, State, Tuple, ticks},
    table::{Bucket, Direct, Entry, Hit, Index, Owner, Seed, Storage, Tag, WAYS},
};
use loom::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

use super::support::TestFamily;

/// Late enough that idle times can be measured.
pub const NOW: u32 = ticks::from_nanos(3_600_000_000_000);

#[derive(Debug)]
pub struct Entries<F> {
    words: Vec<Words>,
    seed: Seed,
    /// Number of active connections. No decision depends on it, so loom need not see it.
    active: AtomicI64,
    family: PhantomData<F>,
}

#[derive(Debug)]
pub struct Words {
    tag: AtomicU64,
    pair: Vec<AtomicU64>,
    last_seen: AtomicU32,
    extra: AtomicU32,
}

impl<F: TestFamily> Entries<F> {
    /// Makes a table with this many free entries.
    pub fn new(free: usize, seed: Seed) -> Self {
        let pair = F::PairWords::default();
        let words = || Words {
            tag: AtomicU64::new(0),
            pair: pair.as_ref().iter().map(|word| AtomicU64::new(*word)).collect(),
            last_seen: AtomicU32::new(0),
            extra: AtomicU32::new(0),
        };
        let words = (0..free).map(|_| words()).collect();
        Self { words, seed, active: AtomicI64::new(0), family: PhantomData }
    }
}

/// Returns a seed by which the keys have these homes.
pub fn seed_for<F: TestFamily>(homes: &[(Tuple<F>, u32)]) -> Seed {
    let mut seeds = (1..).map(Seed::of_number);
    let fits = |seed: &Seed| homes.iter().all(|(key, home)| seed.hash(key).home() == *home);
    seeds.find(fits).expect("one of very many")
}

#[derive(Clone, Copy, Debug)]
pub struct Shared<'a, F>(pub &'a Entries<F>);

impl<'a, F: TestFamily> Shared<'a, F> {
    /// Returns the entries that the test may use.
    pub fn entries(self) -> impl Iterator<Item = Hit<Slot<'a, F>>> {
        let entries = (0..).zip(&self.0.words).map(|(way, words)| (Index(way), Slot::of(words)));
        entries.map(|(index, entry)| Hit { entry, index, tag: entry.tag() })
    }

    /// Returns those of them that are not free.
    pub fn flows(self) -> Vec<Hit<Slot<'a, F>>> {
        self.entries().filter(|hit| !hit.tag.is_free()).collect()
    }

    /// Returns the counted number of active connections.
    pub fn active(self) -> i64 {
        self.0.active.load(Relaxed)
    }
}

impl<F: TestFamily> Direct for Shared<'_, F> {}

impl<F: TestFamily> Storage for Shared<'_, F> {
    type Family = F;
    type Bucket = Self;
    type Backend = Endpoints<F>;

    const CHOICES: u32 = 1;

    /// Little, as loom tries every number of reads.
    const PATIENCE: u32 = 2;

    fn seed(self) -> Seed {
        self.0.seed
    }

    fn buckets(self) -> u32 {
        1
    }

    fn bucket(self, index: u32) -> Option<Self> {
        (index == 0).then_some(self)
    }

    fn backend(self, _id: u32) -> Option<Endpoints<F>> {
        Some(F::endpoints())
    }

    fn evicted(self, _state: State) {}

    fn add_active(self, _backend: u32, change: i64) {
        self.0.active.fetch_add(change, Relaxed);
    }
}

impl<'a, F: TestFamily> Bucket for Shared<'a, F> {
    type Family = F;
    type Entry = Slot<'a, F>;

    fn entry(self, way: u32) -> Slot<'a, F> {
        assert!(way < WAYS);
        Slot { words: self.0.words.get(way as usize), family: PhantomData }
    }
}

/// An entry; without words it is held by an established connection that is not idle.
#[derive(Clone, Copy, Debug)]
pub struct Slot<'a, F> {
    words: Option<&'a Words>,
    family: PhantomData<F>,
}

impl<'a, F> Slot<'a, F> {
    fn of(words: &'a Words) -> Self {
        Self { words: Some(words), family: PhantomData }
    }

    fn words(self) -> &'a Words {
        self.words.expect("a connection that stays is nobody's business")
    }
}

impl<F: TestFamily> Entry for Slot<'_, F> {
    type Family = F;

    fn tag(self) -> Tag {
        let taken =
            || Tag::default().claimed(Owner::new(0, Protocol::Tcp)).published(super::ESTABLISHED);
        self.words.map_or_else(taken, |words| Tag::from_word(words.tag.load(Acquire)))
    }

    fn exchange(self, from: Tag, to: Tag) -> Tag {
        let tag = &self.words().tag;
        let (Ok(found) | Err(found)) = tag.compare_exchange(from.word(), to.word(), SeqCst, SeqCst);
        // The kernel's operation is a full barrier.
        fence(SeqCst);
        Tag::from_word(found)
    }

    fn publish(self, tag: Tag) {
        self.words().tag.store(tag.word(), Release);
    }

    fn tag_afterwards(self) -> Tag {
        fence(Acquire);
        Tag::from_word(self.words().tag.load(Relaxed))
    }

    fn pair(self) -> Pair<F> {
        let mut pair = F::PairWords::default();
        for (word, shared) in pair.as_mut().iter_mut().zip(self.words.iter().flat_map(|w| &w.pair))
        {
            *word = shared.load(Relaxed);
        }
        Pair::of_words(pair)
    }

    fn last_seen(self) -> u32 {
        self.words.map_or(NOW, |words| words.last_seen.load(Relaxed))
    }

    fn extra(self) -> u32 {
        self.words().extra.load(Relaxed)
    }

    fn set_last_seen(self, ticks: u32) {
        self.words().last_seen.store(ticks, Relaxed);
    }

    fn set_extra(self, extra: u32) {
        self.words().extra.store(extra, Relaxed);
    }

    fn set_pair(self, pair: Pair<F>) {
        for (shared, word) in self.words().pair.iter().zip(pair.words().as_ref()) {
            shared.store(*word, Relaxed);
        }
    }

    fn write(self, flow: &Flow<F>) {
        self.set_pair(flow.pair);
        self.words().last_seen.store(flow.last_seen, Relaxed);
        self.words().extra.store(flow.extra, Relaxed);
    }
}
