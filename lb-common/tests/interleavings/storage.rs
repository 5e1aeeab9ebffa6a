//! A table of one bucket in loom's atomics. Most of its lines belong to connections that stay, so
//! that there is less to explore.

use std::sync::atomic::AtomicI64;

use lb_common::{
    backend::Hop,
    flow::{Flow, FlowKey, Rewrite, State, ticks},
    table::{Bucket, Hit, Line, Place, Seed, Table, Tag, WAYS},
};
use loom::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Late enough that idle times can be measured.
pub const NOW: u32 = ticks::from_nanos(3_600_000_000_000);

#[derive(Debug)]
pub struct Lines {
    words: Vec<Words>,
    /// Number of active connections. No decision depends on it, so loom need not see it.
    active: AtomicI64,
}

#[derive(Debug)]
pub struct Words {
    tag: AtomicU64,
    addresses: AtomicU64,
    ports: AtomicU32,
    seen: AtomicU32,
    to: [AtomicU64; 2],
    client: [AtomicU64; 2],
    backend: AtomicU32,
    extra: AtomicU32,
}

impl Lines {
    pub fn new(free: usize) -> Self {
        let words = || Words {
            tag: AtomicU64::new(0),
            addresses: AtomicU64::new(0),
            ports: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            to: [AtomicU64::new(0), AtomicU64::new(0)],
            client: [AtomicU64::new(0), AtomicU64::new(0)],
            backend: AtomicU32::new(0),
            extra: AtomicU32::new(0),
        };
        Self { words: (0..free).map(|_| words()).collect(), active: AtomicI64::new(0) }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Shared<'a>(pub &'a Lines);

impl<'a> Shared<'a> {
    /// Returns the contents of the lines that the test may use.
    pub fn flows(self) -> Vec<Hit<Slot<'a>>> {
        let lines = (0..).zip(&self.0.words).map(|(way, words)| (Place(way), Slot::Words(words)));
        let hits = lines.map(|(place, line)| Hit { line, place, tag: line.tag() });
        hits.filter(|hit| !hit.tag.is_free()).collect()
    }

    /// Returns the counted number of active connections.
    pub fn active(self) -> i64 {
        self.0.active.load(Relaxed)
    }
}

impl Table for Shared<'_> {
    type Bucket = Self;

    fn seed(self) -> Seed {
        Seed([0x9e37_79b9_7f4a_7c15, 5, 7, 11])
    }

    fn buckets(self) -> u32 {
        1
    }

    fn bucket(self, index: u32) -> Option<Self> {
        (index == 0).then_some(self)
    }

    fn evicted(self, _state: State) {}

    fn add_active(self, _backend: u32, change: i64) {
        self.0.active.fetch_add(change, Relaxed);
    }
}

impl<'a> Bucket for Shared<'a> {
    type Line = Slot<'a>;

    fn line(self, way: u32) -> Slot<'a> {
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

fn two(words: &[AtomicU64; 2]) -> [u64; 2] {
    words.each_ref().map(|word| word.load(Relaxed))
}

impl Line for Slot<'_> {
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

    fn key(self) -> FlowKey {
        match self {
            Self::Words(words) => {
                FlowKey::of_words(words.addresses.load(Relaxed), words.ports.load(Relaxed))
            }
            Self::Taken => FlowKey::default(),
        }
    }

    fn partner(self) -> FlowKey {
        Rewrite::from_words(two(&self.words().to)).to().turned()
    }

    fn backend(self) -> u32 {
        self.words().backend.load(Relaxed)
    }

    fn client(self) -> Hop {
        Hop::of_words(two(&self.words().client))
    }

    fn seen(self) -> u32 {
        match self {
            Self::Words(words) => words.seen.load(Relaxed),
            Self::Taken => NOW,
        }
    }

    fn extra(self) -> u32 {
        self.words().extra.load(Relaxed)
    }

    fn set_seen(self, ticks: u32) {
        self.words().seen.store(ticks, Relaxed);
    }

    fn set_extra(self, extra: u32) {
        self.words().extra.store(extra, Relaxed);
    }

    fn set_client(self, client: Hop) {
        for (word, value) in self.words().client.iter().zip(client.words()) {
            word.store(value, Relaxed);
        }
    }

    fn write(self, flow: &Flow) {
        let words = self.words();
        let (addresses, ports) = flow.key().as_words();
        words.addresses.store(addresses, Relaxed);
        words.ports.store(ports, Relaxed);
        words.seen.store(flow.seen, Relaxed);
        for (word, value) in words.to.iter().zip(flow.rewrite.words()) {
            word.store(value, Relaxed);
        }
        self.set_client(flow.client);
        words.backend.store(flow.backend, Relaxed);
        words.extra.store(flow.extra, Relaxed);
    }
}
