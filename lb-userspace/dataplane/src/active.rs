//! Number of each backend's connections that are not closed.
//!
//! The array has a *lane* for each CPU, and two more: the first is common to all CPUs, which count there the
//! connections of backends that a scheduler compares; the last one is the daemon's. A count is the sum of
//! its lanes. A connection may end on another CPU than it began on, so each lane may be negative.

use std::{
    fs,
    sync::atomic::{
        AtomicI64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use anyhow::{Context as _, Result};
use aya::{Ebpf, EbpfLoader, maps::MapData};
use lb_common::limits;
use lb_host::sys::mapping::Mapping;

use crate::mapped;

pub(crate) const ACTIVE: &str = "ACTIVE";

/// Constants of the array that a program gets when it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// Number of values in a lane.
    length: u32,
    count: u32,
}

impl Lanes {
    /// Plans for this many backends.
    pub fn new(backends: u32) -> Result<Self> {
        let (length, count) = (backends + limits::FIRST_BACKEND, lanes(possible_cpus()?));
        length.checked_mul(count).context("`limits.backends` is too high for so many CPUs")?;
        Ok(Self { length, count })
    }

    pub fn prepare<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader.map_max_entries(ACTIVE, self.length * self.count);
        loader.override_global("ACTIVE_LANE", &self.length, true);
    }
}

/// Returns the number of lanes with this number of CPUs.
pub(crate) const fn lanes(cpus: u32) -> u32 {
    cpus + 2
}

/// Returns the number of CPUs that this machine may have, counted up to the highest: numbers in between may
/// be missing.
pub fn possible_cpus() -> Result<u32> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
    let ranges = fs::read_to_string(POSSIBLE).with_context(|| format!("cannot read {POSSIBLE}"))?;
    after_last(&ranges).with_context(|| format!("{POSSIBLE} lists no CPUs: {ranges}"))
}

/// Returns the number after the last one of ranges like `0-3,8-11`.
fn after_last(ranges: &str) -> Option<u32> {
    let last: u32 = ranges.trim().rsplit([',', '-']).next()?.parse().ok()?;
    last.checked_add(1)
}

/// The counts.
#[derive(Debug)]
pub struct Active {
    counts: Mapping<AtomicI64>,
    /// Number of values in a lane.
    length: usize,
}

impl Active {
    pub fn open(ebpf: &Ebpf) -> Result<Self> {
        Self::of_mapping(mapped::map(ebpf, ACTIVE)?)
    }

    /// Opens the counts in a map.
    pub(crate) fn of_array(array: &MapData) -> Result<Self> {
        Self::of_mapping(mapped::of_array(array).with_context(|| format!("cannot map {ACTIVE}"))?)
    }

    fn of_mapping(counts: Mapping<AtomicI64>) -> Result<Self> {
        let length = counts.values().len() / lanes(possible_cpus()?) as usize;
        Ok(Self { counts, length })
    }

    /// Sets counts by backend id, as long as no program counts.
    pub(crate) fn set(&self, counts: &[i64]) {
        for (place, count) in self.all().common().iter().zip(counts) {
            place.store(*count, Relaxed);
        }
    }

    /// Returns the count of a backend, by its id.
    #[must_use]
    pub fn of(&self, backend: u32) -> u64 {
        // Temporarily negative if a connection ends before its start was counted.
        u64::try_from(self.all().count(backend as usize)).unwrap_or_default()
    }

    /// Returns all counts by backend id.
    #[must_use]
    pub fn counts(&self) -> Vec<i64> {
        self.all().counts()
    }

    /// Corrects counts by those found in a sweep of the flow table, given the counts before it. As
    /// connections come and go during a sweep, only differences outside the range of the counts
    /// before and after it are errors.
    pub fn correct(&self, before: &[i64], found: impl Iterator<Item = u64>) {
        self.all().correct(before, found);
    }

    fn all(&self) -> Counts<'_> {
        Counts { values: self.counts.values(), length: self.length }
    }
}

/// The lanes, one behind the other.
#[derive(Clone, Copy)]
struct Counts<'a> {
    values: &'a [AtomicI64],
    length: usize,
}

impl<'a> Counts<'a> {
    fn common(self) -> &'a [AtomicI64] {
        &self.values[..self.length]
    }

    fn others(self) -> impl Iterator<Item = &'a [AtomicI64]> {
        self.values[self.length..].chunks_exact(self.length)
    }

    /// Returns what each count has in other lanes than the common one.
    fn elsewhere(self) -> Vec<i64> {
        let mut sums = vec![0; self.length];
        for lane in self.others() {
            sums.iter_mut().zip(lane).for_each(|(sum, count)| *sum += count.load(Acquire));
        }
        sums
    }

    /// Reads the common lane last, as [`Self::correct`] writes it first: otherwise connections that are
    /// passed to it could be missed.
    fn count(self, id: usize) -> i64 {
        let elsewhere: i64 =
            self.others().filter_map(|lane| lane.get(id)).map(|count| count.load(Acquire)).sum();
        elsewhere + self.common().get(id).map_or(0, |count| count.load(Relaxed))
    }

    fn counts(self) -> Vec<i64> {
        let elsewhere = self.elsewhere().into_iter();
        elsewhere.zip(self.common()).map(|(sum, count)| sum + count.load(Relaxed)).collect()
    }

    /// See [`Active::correct`]. Leaves the whole counts in the common lane, for schedulers that did not
    /// compare them before. The lanes of the CPUs cannot be changed, as those write them without a lock: the
    /// daemon's lane counterbalances them.
    fn correct(self, before: &[i64], found: impl Iterator<Item = u64>) {
        let own = &self.values[self.values.len() - self.length..];
        let counts = self.elsewhere().into_iter().zip(self.common().iter().zip(own));
        for ((elsewhere, (common, own)), (before, found)) in counts.zip(before.iter().zip(found)) {
            let drift = drift(*before, elsewhere + common.load(Relaxed), found);
            if drift + elsewhere != 0 {
                common.fetch_add(drift + elsewhere, Release);
            }
            if elsewhere != 0 {
                own.fetch_sub(elsewhere, Release);
            }
        }
    }
}

/// Returns the number of connections found but not counted.
fn drift(before: i64, after: i64, found: u64) -> i64 {
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    found - found.clamp(before.min(after), before.max(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 3;

    /// Lanes of two CPUs.
    fn lanes(values: [[i64; LENGTH]; 4]) -> Vec<AtomicI64> {
        values.into_iter().flatten().map(AtomicI64::new).collect()
    }

    fn counts(values: &[AtomicI64]) -> Counts<'_> {
        Counts { values, length: LENGTH }
    }

    fn common(values: &[AtomicI64]) -> Vec<i64> {
        counts(values).common().iter().map(|count| count.load(Relaxed)).collect()
    }

    #[test]
    fn lanes_reach_the_highest_cpu() {
        let counts = ["0\n", "0-1\n", "0-3,8-11\n", "0,2\n", "\n"].map(after_last);
        assert_eq!(counts, [Some(1), Some(2), Some(12), Some(3), None]);
    }

    #[test]
    fn changes_during_a_sweep_are_no_drift() {
        assert_eq!([drift(5, 9, 5), drift(5, 9, 7), drift(9, 5, 9)], [0; 3]);
        assert_eq!(drift(5, 9, 4), -1);
        assert_eq!(drift(5, 9, 12), 3);
        assert_eq!(drift(-2, -2, 0), 2);
    }

    #[test]
    fn a_count_is_the_sum_of_its_lanes() {
        let values = lanes([[1, 0, 5], [7, -3, 0], [-2, 4, 0], [0, 0, -1]]);
        assert_eq!(counts(&values).counts(), [6, 1, 4]);
        assert_eq!([0, 1, 2, 3].map(|id| counts(&values).count(id)), [6, 1, 4, 0]);
    }

    #[test]
    fn a_sweep_leaves_whole_counts_in_the_common_lane() {
        let values = lanes([[1, 0, 5], [7, -3, 0], [-2, 4, 0], [0, 0, -1]]);
        let before = counts(&values).counts();
        counts(&values).correct(&before, [6, 1, 4].into_iter());
        assert_eq!(common(&values), [6, 1, 4]);
        assert_eq!(counts(&values).counts(), [6, 1, 4]);
        values[LENGTH].fetch_add(10, Relaxed);
        let before = counts(&values).counts();
        counts(&values).correct(&before, [16, 1, 4].into_iter());
        assert_eq!(common(&values), [16, 1, 4]);
    }

    #[test]
    fn a_miscount_is_corrected_in_the_common_lane() {
        let values = lanes([[1, 0, 5], [7, -3, 0], [-2, 4, 0], [0, 0, -1]]);
        let before = counts(&values).counts();
        counts(&values).correct(&before, [8, 0, 4].into_iter());
        assert_eq!(counts(&values).counts(), [8, 0, 4]);
        assert_eq!(common(&values), [8, 0, 4]);
    }
}
