//! Applies the operations of a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use anyhow::{Context as _, Result};
use lb_common::{address_filter, backend::Backend, macs::Slot, stats::Traffic};

use super::{guard::Index, maps::Maps, origins::Origins};
use crate::plan::Op;

/// Writes the maps, those of the host guard and of the check of origins included.
pub struct MapWriter {
    pub(super) maps: Maps,
    pub(super) guarded: Index,
    pub(super) origins: Origins,
    /// Empty until set.
    pub(super) own_macs: Vec<Slot>,
}

impl MapWriter {
    #[must_use]
    pub fn new(maps: Maps) -> Self {
        let (guarded, origins, own_macs) = Default::default();
        Self { maps, guarded, origins, own_macs }
    }

    /// Applies operations in order. After an error, [`Self::adopt`] reads back the content of the
    /// maps.
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        ops.iter().try_for_each(|op| self.apply_one(op))
    }

    fn apply_one(&mut self, op: &Op) -> Result<()> {
        self.guard_op(op)?;
        self.origins_op(op)?;
        let maps = &mut self.maps;
        match op {
            Op::SetSource { place, source } => {
                self.expect_packets_for(source.address)?;
                self.maps.sources.set(*place, source).context("cannot write a source")
            }
            Op::SetBackend { id, backend } => {
                maps.backends.set(*id, backend).context("cannot write a backend")
            }
            Op::PassTraffic { from, to } => self.pass_traffic(*from, *to),
            Op::ClearBackend { id } => self.clear_backend(*id),
            Op::WriteSlots { offset, slots } => {
                maps.rings.write(*offset, slots);
                Ok(())
            }
            Op::SetService { key, service } => {
                self.expect_packets_for(key.address)?;
                self.maps.services.insert(key, service).context("cannot write a service")
            }
            Op::RemoveService { key } => {
                maps.services.remove(key).context("cannot remove a service")
            }
        }
    }

    /// Clears the entry last: as long as it exists, an adopted backend is cleared again.
    fn clear_backend(&mut self, id: u32) -> Result<()> {
        self.clear_traffic(id)?;
        let Maps { backends, refusals, .. } = &mut self.maps;
        refusals.clear(id).context("cannot clear a backend's refusals")?;
        backends.set(id, &Backend::default()).context("cannot clear a backend")
    }

    /// Adds an id's counters to another one's. The program does not count for the first one any more.
    fn pass_traffic(&mut self, from: u32, to: u32) -> Result<()> {
        let passed = self.traffic([from].into_iter())?;
        let past = &mut self.maps.past_traffic;
        let mut sum = past.get(to).context("cannot read a backend's past counters")?;
        sum += passed.get(&from).copied().unwrap_or_default();
        past.set(to, &sum).context("cannot write a backend's past counters")?;
        self.clear_traffic(from)
    }

    fn clear_traffic(&mut self, id: u32) -> Result<()> {
        let Maps { traffic, past_traffic, .. } = &mut self.maps;
        traffic.clear(id).context("cannot clear a backend's counters")?;
        past_traffic.set(id, &Traffic::default()).context("cannot clear a backend's past counters")
    }

    /// Adds an address to the program's filter.
    pub(super) fn expect_packets_for(&mut self, address: [u8; 16]) -> Result<()> {
        let (word, bit) = address_filter::bit_of_mapped(address);
        let words = &mut self.maps.addresses;
        let bits = words.get(word).context("cannot read the addresses")?;
        words.set(word, &(bits | bit)).context("cannot write an address")
    }

    /// Returns the traffic of these backends, with that of released ids that they had before.
    /// Adjacent ids are read at once.
    pub fn traffic(&self, ids: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, Traffic>> {
        let ids: BTreeSet<u32> = ids.collect();
        let mut traffic = BTreeMap::new();
        for range in ranges(&ids) {
            let read = self.maps.traffic.of(range.clone());
            let all = read.with_context(|| format!("cannot read the counters of {range:?}"))?;
            traffic.extend(range.zip(all).filter(|(id, _)| ids.contains(id)));
        }
        for (id, traffic) in &mut traffic {
            let past = self.maps.past_traffic.get(*id);
            *traffic += past.with_context(|| format!("cannot read the past counters of {id}"))?;
        }
        Ok(traffic)
    }
}

/// Maximum number of counters read at once.
const BATCH: u32 = 512;

/// Maximum gap between ids that are read at once.
const GAP: u32 = 32;

/// Returns a few ranges that contain all of these ids.
fn ranges(ids: &BTreeSet<u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for id in ids {
        match ranges.last_mut() {
            Some(last) if *id < last.end + GAP && *id < last.start + BATCH => last.end = id + 1,
            _ => ranges.push(*id..id + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::memory::Memory;

    #[test]
    fn counters_of_many_backends_are_read_by_few_calls() {
        let memory = Memory::default();
        let counted = |connections| Traffic { connections, ..Traffic::default() };
        memory.stored().traffic.extend([(1, counted(1)), (4_000, counted(7))]);
        let writer = MapWriter::new(memory.maps(5_000));
        let traffic = writer.traffic(1..4_001).expect("read");
        let calls = memory.fail(&[]);
        assert!(calls <= 8, "{calls} calls");
        assert_eq!(traffic.len(), 4_000);
        assert_eq!([traffic[&1], traffic[&2], traffic[&4_000]], [1, 0, 7].map(counted));
        let few = writer.traffic([4_000, 1].into_iter()).expect("read");
        assert_eq!(few.into_iter().collect::<Vec<_>>(), [(1, counted(1)), (4_000, counted(7))]);
    }

    #[test]
    fn passed_counters_are_added() {
        let memory = Memory::default();
        let counted = |connections| Traffic { connections, ..Traffic::default() };
        memory.stored().traffic.extend([(1, counted(1)), (2, counted(2)), (3, counted(4))]);
        let mut writer = MapWriter::new(memory.maps(4));
        let pass = |from, to| [Op::PassTraffic { from, to }, Op::ClearBackend { id: from }];
        writer.apply(&pass(1, 2)).expect("written");
        writer.apply(&pass(2, 3)).expect("written");
        let traffic = writer.traffic([1, 2, 3].into_iter()).expect("read");
        assert_eq!([traffic[&1], traffic[&2], traffic[&3]], [0, 0, 7].map(counted));
        assert_eq!(memory.stored().traffic[&3], counted(4), "the program's is left alone");
    }

    #[test]
    fn ranges_hold_all_ids_and_are_no_longer_than_a_batch() {
        for ids in [vec![], vec![0], vec![3, 4, 30, 200], (0..=BATCH).collect::<Vec<_>>()] {
            let ids: BTreeSet<u32> = ids.into_iter().collect();
            let ranges = ranges(&ids);
            assert!(ids.iter().all(|id| ranges.iter().any(|range| range.contains(id))));
            assert!(ranges.iter().all(|range| range.end - range.start <= BATCH));
        }
        assert_eq!(ranges(&BTreeSet::from([3, 4, 30, 200])), [3..31, 200..201]);
    }
}
