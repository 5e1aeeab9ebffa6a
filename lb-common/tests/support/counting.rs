//! A table in memory that counts its evictions and active connections.

use std::cell::Cell;

use lb_common::{
    flow::{Endpoints, State},
    table::{Direct, Seed, SharedBackend, SharedBucket, SharedTable, Storage},
};

use super::{
    backends::{self, Stored},
    support::TestFamily,
};

/// A table that counts its evictions and active connections.
#[derive(Clone, Copy)]
pub struct Counting<'a, F: TestFamily> {
    pub table: SharedTable<'a, F>,
    pub evicted: &'a Cell<[u32; 5]>,
    pub active: &'a Cell<i64>,
}

impl<F: TestFamily> Direct for Counting<'_, F> {}

impl<'a, F: TestFamily> Storage for Counting<'a, F> {
    type Family = F;
    type Bucket = &'a SharedBucket<F>;
    type Backend = Endpoints<F>;

    fn seed(self) -> Seed {
        self.table.seed
    }

    fn buckets(self) -> u32 {
        self.table.buckets()
    }

    fn bucket(self, index: u32) -> Option<Self::Bucket> {
        self.table.bucket(index)
    }

    fn backend(self, id: u32) -> Option<Endpoints<F>> {
        self.table.backend(id)
    }

    fn evicted(self, state: State) {
        let mut counts = self.evicted.get();
        counts[rank(state)] += 1;
        self.evicted.set(counts);
    }

    fn add_active(self, _backend: u32, change: i64) {
        self.active.set(self.active.get() + change);
    }
}

/// Returns the place of a state's evictions.
pub const fn rank(state: State) -> usize {
    match state {
        State::HalfOpen => 0,
        State::Answered => 1,
        State::Established => 2,
        State::Closing => 3,
        State::Closed => 4,
    }
}

/// A table's memory.
pub struct Memory<F: TestFamily> {
    buckets: Vec<SharedBucket<F>>,
    backends: Vec<SharedBackend>,
    seed: Seed,
    /// Evictions by [`rank`].
    pub evicted: Cell<[u32; 5]>,
    /// Number of active connections.
    pub active: Cell<i64>,
}

impl<F: Stored> Memory<F> {
    /// Makes an empty table of this many buckets, with the seed of a number.
    pub fn new(buckets: u32, seed: u64) -> Self {
        let buckets = (0..buckets).map(|_| SharedBucket::default()).collect();
        let (evicted, active) = Default::default();
        let seed = Seed::of_number(seed);
        Self { buckets, backends: backends::of(&F::endpoints()), seed, evicted, active }
    }

    pub fn table(&self) -> Counting<'_, F> {
        let Self { buckets, backends, seed, evicted, active } = self;
        Counting { table: SharedTable { buckets, backends, seed: *seed }, evicted, active }
    }
}
