//! A table of one bucket in loom's atomics. Most of its entries belong to connections that stay, so
//! that there is less to explore.

use std::sync::atomic::AtomicI64;

use lb_common::{
    flow::{Endpoints, Flow, FlowKey, Pair, State, ticks},
    mix::mix,
    table::{Bucket, Direct, Entry, Hit, Index, Seed, Storage, Tag, WAYS},
};
use loom::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Late enough that idle times can be measured.
pub const NOW: u32 = ticks::from_nanos(3_600_000_000_000);

#[derive(Debug)]
pub struct Entries {
    words: Vec<Words>,
    seed: Seed,
    /// Number of active connections. No decision depends on it, so loom need not see it.
    active: AtomicI64,
}

#[derive(Debug)]
pub struct Words {
    tag: AtomicU64,
    pair: [AtomicU64; 2],
    last_seen: AtomicU32,
    extra: AtomicU32,
}

impl Entries {
    /// Makes a table with this many free entries, and a seed by which the keys have these homes.
    pub fn new(free: usize, homes: &[(FlowKey, u32)]) -> Self {
        let words = || Words {
            tag: AtomicU64::new(0),
            pair: [AtomicU64::new(0), AtomicU64::new(0)],
            last_seen: AtomicU32::new(0),
            extra: AtomicU32::new(0),
        };
        let words = (0..free).map(|_| words()).collect();
        Self { words, seed: seed_for(homes), active: AtomicI64::new(0) }
    }
}

/// Returns a seed by which the keys have these homes.
fn seed_for(homes: &[(FlowKey, u32)]) -> Seed {
    let mut seeds = (1_u64..).map(|n| Seed([n, n << 8, n << 16, n << 24].map(mix)));
    let fits = |seed: &Seed| homes.iter().all(|(key, home)| seed.hash(key).home() == *home);
    seeds.find(fits).expect("one of very many")
}

#[derive(Clone, Copy, Debug)]
pub struct Shared<'a>(pub &'a Entries);

impl<'a> Shared<'a> {
    /// Returns the entries that the test may use.
    pub fn entries(self) -> impl Iterator<Item = Hit<Slot<'a>>> {
        let entries = (0..).zip(&self.0.words).map(|(way, words)| (Index(way), Slot::Words(words)));
        entries.map(|(index, entry)| Hit { entry, index, tag: entry.tag() })
    }

    /// Returns those of them that are not free.
    pub fn flows(self) -> Vec<Hit<Slot<'a>>> {
        self.entries().filter(|hit| !hit.tag.is_free()).collect()
    }

    /// Returns the counted number of active connections.
    pub fn active(self) -> i64 {
        self.0.active.load(Relaxed)
    }
}

impl Direct for Shared<'_> {}

impl Storage for Shared<'_> {
    type Bucket = Self;
    type Backend = Endpoints;

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

    fn backend(self, _id: u32) -> Option<Endpoints> {
        Some(super::support::ENDPOINTS)
    }

    fn evicted(self, _state: State) {}

    fn add_active(self, _backend: u32, change: i64) {
        self.0.active.fetch_add(change, Relaxed);
    }
}

impl<'a> Bucket for Shared<'a> {
    type Entry = Slot<'a>;

    fn entry(self, way: u32) -> Slot<'a> {
        assert!(way < WAYS);
        self.0.words.get(way as usize).map_or(Slot::Taken, Slot::Words)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Slot<'a> {
    Words(&'a Words),
    /// Held by an established connection that is not idle.
    Taken,
}

impl<'a> Slot<'a> {
    fn words(self) -> &'a Words {
        match self {
            Self::Words(words) => words,
            Self::Taken => panic!("a connection that stays is nobody's business"),
        }
    }
}

impl Entry for Slot<'_> {
    fn tag(self) -> Tag {
        match self {
            Self::Words(words) => Tag::from_word(words.tag.load(Acquire)),
            Self::Taken => Tag::default().claimed(0).published(super::ESTABLISHED),
        }
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

    fn pair(self) -> Pair {
        match self {
            Self::Words(words) => {
                Pair::of_words(words.pair.each_ref().map(|word| word.load(Relaxed)))
            }
            Self::Taken => Pair::default(),
        }
    }

    fn last_seen(self) -> u32 {
        match self {
            Self::Words(words) => words.last_seen.load(Relaxed),
            Self::Taken => NOW,
        }
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

    fn set_pair(self, pair: Pair) {
        for (word, value) in self.words().pair.iter().zip(pair.words()) {
            word.store(value, Relaxed);
        }
    }

    fn write(self, flow: &Flow) {
        self.set_pair(flow.pair);
        self.words().last_seen.store(flow.last_seen, Relaxed);
        self.words().extra.store(flow.extra, Relaxed);
    }
}
