//! Applies the operations of a plan.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result};
use lb_common::{address_filter, backend::Backend, macs::Slot, stats::Traffic};

use super::{guard::Index, maps::Maps, origins::Origins};
use crate::{generation::Generation, plan::Op, traffic};

/// Writes the maps, those of the host guard and of the check of origins included.
pub struct MapWriter {
    pub(super) maps: Maps,
    pub(super) guarded: Index,
    pub(super) origins: Origins,
    /// Empty until set.
    pub(super) own_macs: Vec<Slot>,
    generation: Arc<Generation>,
}

impl MapWriter {
    #[must_use]
    pub fn new(maps: Maps) -> Self {
        let (guarded, origins, own_macs, generation) = Default::default();
        Self { maps, guarded, origins, own_macs, generation }
    }

    /// Counts changes in a generation that readers know.
    #[must_use]
    pub(crate) fn counting(self, generation: Arc<Generation>) -> Self {
        Self { generation, ..self }
    }

    /// Applies operations in order. After an error, [`Self::adopt`] reads back the content of the
    /// maps.
    pub fn apply(&mut self, ops: &[Op]) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        self.generation.begin();
        let applied = ops.iter().try_for_each(|op| self.apply_one(op));
        self.generation.end();
        applied
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
            Op::KeepTraffic { from, service } => self.keep_traffic(*from, *service),
            Op::ClearKept { service } => {
                let kept = &mut self.maps.kept_traffic;
                kept.set(*service, &Traffic::default()).context("cannot clear a service's counters")
            }
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
        let Maps { backends, refusals, tcp, .. } = &mut self.maps;
        refusals.clear(id).context("cannot clear a backend's refusals")?;
        tcp.clear(id).context("cannot clear a backend's TCP counters")?;
        backends.set(id, &Backend::default()).context("cannot clear a backend")
    }

    /// Adds an id's counters to another one's. The program does not count for the first one any more.
    fn pass_traffic(&mut self, from: u32, to: u32) -> Result<()> {
        let passed = self.traffic([from])?;
        let past = &mut self.maps.past_traffic;
        let mut sum = past.get(to).context("cannot read a backend's past counters")?;
        sum += passed.get(&from).copied().unwrap_or_default();
        past.set(to, &sum).context("cannot write a backend's past counters")?;
        self.maps.tcp.pass(from, to).context("cannot pass on a backend's TCP counters")?;
        self.clear_traffic(from)
    }

    /// Adds an id's counters to those that a service keeps. The program does not count for it any more.
    fn keep_traffic(&mut self, from: u32, service: u32) -> Result<()> {
        let counted = self.traffic([from])?;
        let kept = &mut self.maps.kept_traffic;
        if service >= kept.size() {
            return self.clear_traffic(from);
        }
        let mut sum = kept.get(service).context("cannot read a service's counters")?;
        sum += counted.get(&from).copied().unwrap_or_default();
        kept.set(service, &sum).context("cannot write a service's counters")?;
        self.clear_traffic(from)
    }

    /// Returns the traffic of these backends, with that of released ids that they had before.
    pub fn traffic(&self, ids: impl IntoIterator<Item = u32>) -> Result<BTreeMap<u32, Traffic>> {
        let Maps { traffic, past_traffic, .. } = &self.maps;
        traffic::read(|ids| traffic.of(ids), |id| past_traffic.get(id), ids)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::memory::Memory;

    #[test]
    fn a_service_keeps_the_counters_of_its_removed_backends() {
        let memory = Memory::default();
        let counted = |connections| Traffic { connections, ..Traffic::default() };
        memory.stored().traffic.extend([(1, counted(1)), (2, counted(2))]);
        memory.stored().past_traffic.insert(2, counted(10));
        let mut writer = MapWriter::new(memory.maps(4));
        let keep = |from| Op::KeepTraffic { from, service: 3 };
        writer.apply(&[keep(1), keep(2), Op::ClearBackend { id: 2 }]).expect("written");
        assert_eq!(memory.stored().kept_traffic[&3], counted(13));
        assert_eq!(
            writer.traffic([1, 2]).expect("read"),
            [(1, counted(0)), (2, counted(0))].into()
        );
        writer.apply(&[Op::ClearKept { service: 3 }]).expect("written");
        assert_eq!(memory.stored().kept_traffic.get(&3), None);
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
        let traffic = writer.traffic([1, 2, 3]).expect("read");
        assert_eq!([traffic[&1], traffic[&2], traffic[&3]], [0, 0, 7].map(counted));
        assert_eq!(memory.stored().traffic[&3], counted(4), "the program's is left alone");
    }
}
