//! Arrays that are read and written without system calls.

use std::{
    marker::PhantomData,
    os::fd::AsFd as _,
    sync::atomic::{
        AtomicI64, AtomicU32, AtomicU64,
        Ordering::{Relaxed, Release},
    },
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use bytemuck::Pod;
use lb_common::{
    limits,
    ring::Ring,
    stats::{TcpStats, Traffic},
};

use crate::sizes::{KEPT_TRAFFIC, PAST_TRAFFIC, TCP_STATS};
use lb_host::sys::mapping::{Mapping, Shared};

const REFUSALS: &str = "REFUSALS";
const RINGS: &str = "RINGS";

/// Maps an array of a loaded object, whose values may each hold several `T`.
pub(crate) fn map<T: Shared>(ebpf: &Ebpf, name: &str) -> Result<Mapping<T>> {
    let Some(Map::Array(array)) = ebpf.map(name) else { bail!("the object has no array {name}") };
    of_array(array).with_context(|| format!("cannot map {name}"))
}

/// Maps an array, whose values may each hold several `T`.
pub(crate) fn of_array<T: Shared>(array: &MapData) -> Result<Mapping<T>> {
    let info = array.info()?;
    // The kernel rounds up smaller values, which would leave gaps.
    ensure!(info.value_size().is_multiple_of(8), "its values do not fill eight bytes");
    let bytes = u64::from(info.max_entries()) * u64::from(info.value_size());
    let count = u32::try_from(bytes / size_of::<T>() as u64)?;
    Ok(Mapping::new(array.fd().as_fd(), count)?)
}

/// The arena of ring slots.
#[derive(Debug)]
pub struct Rings(Mapping<AtomicU32>);

impl Rings {
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        let slots: Mapping<AtomicU32> = map(ebpf, RINGS)?;
        let (found, expected) = (slots.values().len(), limits::RING_SLOTS as usize);
        ensure!(found == expected, "the arena has {found} slots, not {expected}");
        Ok(Self(slots))
    }

    /// Returns the slots of a ring, without those outside of the arena.
    #[must_use]
    pub fn read(&self, ring: Ring) -> Vec<u32> {
        let slots = self.0.values().iter().skip(ring.offset as usize);
        slots.take(ring.length as usize).map(|slot| slot.load(Relaxed)).collect()
    }

    /// Writes slots from an offset on, with release ordering for later publication.
    pub fn write(&self, offset: u32, ids: &[u32]) {
        let slots = self.0.values().iter().skip(offset as usize);
        slots.zip(ids).for_each(|(slot, id)| slot.store(*id, Release));
    }
}

/// Number of handshakes that each backend has refused in a row.
#[derive(Debug)]
pub struct Refusals(Mapping<AtomicI64>);

impl Refusals {
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        map(ebpf, REFUSALS).map(Self)
    }

    /// Returns the count of a backend, by its id.
    #[must_use]
    pub fn of(&self, backend: u32) -> u32 {
        let count = self.0.values().get(backend as usize).map_or(0, |count| count.load(Relaxed));
        u32::try_from(count.max(0)).unwrap_or(u32::MAX)
    }

    /// Returns the ids of backends that have refused handshakes.
    #[must_use]
    pub fn refusing(&self) -> Vec<u32> {
        refusing(self.0.values().iter().map(|count| count.load(Relaxed)))
    }

    /// Copies the count of an id to another one, further refusals to ignore included.
    pub fn pass(&self, from: u32, to: u32) {
        let count = self.0.values().get(from as usize).map_or(0, |count| count.load(Relaxed));
        self.store(to, count);
    }

    pub fn set(&self, backend: u32, count: u32) {
        self.store(backend, count.into());
    }

    /// Ignores this many further refusals of a backend.
    pub fn ignore(&self, backend: u32, refusals: u32) {
        self.store(backend, -i64::from(refusals));
    }

    fn store(&self, backend: u32, count: i64) {
        if let Some(place) = self.0.values().get(backend as usize) {
            place.store(count, Relaxed);
        }
    }
}

fn refusing(counts: impl Iterator<Item = i64>) -> Vec<u32> {
    let refusing = (0..).zip(counts).filter(|(_, count)| *count > 0);
    refusing.map(|(id, _)| id).collect()
}

/// How well connections to each backend go, which the program counts by locked operations.
#[derive(Debug)]
pub struct TcpCounters(Past<TcpStats>);

impl TcpCounters {
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        Past::open(ebpf, TCP_STATS).map(Self)
    }

    /// Returns the counters of a backend, by its id.
    #[must_use]
    pub fn of(&self, backend: u32) -> TcpStats {
        self.0.of(backend)
    }

    /// Adds an id's counters to another one's, for which the program may be counting.
    pub fn pass(&self, from: u32, to: u32) {
        self.0.pass(from, &self.0, to);
    }

    pub fn clear(&self, backend: u32) {
        self.0.set(backend, &TcpStats::default());
    }
}

/// Counts of whole words: of the past, which only the daemon writes, or those that the program adds to by locked
/// operations.
#[derive(Debug)]
pub struct Past<V> {
    words: Mapping<AtomicU64>,
    value: PhantomData<V>,
}

/// Traffic under ids that are released.
pub type PastTraffic = Past<Traffic>;

impl PastTraffic {
    pub fn of_backends(ebpf: &Ebpf) -> Result<Self> {
        Self::open(ebpf, PAST_TRAFFIC)
    }

    pub fn of_services(ebpf: &Ebpf) -> Result<Self> {
        Self::open(ebpf, KEPT_TRAFFIC)
    }
}

impl<V: Pod> Past<V> {
    /// Words of a value.
    const WORDS: usize = size_of::<V>() / size_of::<u64>();

    pub(crate) fn open(ebpf: &Ebpf, name: &str) -> Result<Self> {
        Ok(Self { words: map(ebpf, name)?, value: PhantomData })
    }

    /// Opens the counts in a map.
    pub(crate) fn of_array(array: &MapData) -> Result<Self> {
        Ok(Self { words: of_array(array)?, value: PhantomData })
    }

    /// Adds a count to one of these or others, for which the program may be counting, and clears it.
    pub fn pass(&self, place: u32, to: &Self, place_there: u32) {
        for (from, to) in self.words(place).zip(to.words(place_there)) {
            to.fetch_add(from.swap(0, Relaxed), Relaxed);
        }
    }

    /// Returns the number of values.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.words.values().len() / Self::WORDS).unwrap_or(u32::MAX)
    }

    #[must_use]
    pub fn of(&self, place: u32) -> V {
        let words: Vec<u64> = self.words(place).map(|word| word.load(Relaxed)).collect();
        bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words))
    }

    pub fn set(&self, place: u32, value: &V) {
        let words: &[u64] = bytemuck::cast_slice(std::slice::from_ref(value));
        for (word, stored) in words.iter().zip(self.words(place)) {
            stored.store(*word, Relaxed);
        }
    }

    fn words(&self, place: u32) -> impl Iterator<Item = &AtomicU64> {
        self.words.values().iter().skip(place as usize * Self::WORDS).take(Self::WORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::refusing;

    #[test]
    fn backends_without_refusals_are_skipped() {
        assert_eq!(refusing([0, 1, -3, 0, 7].into_iter()), [1, 4]);
    }
}
