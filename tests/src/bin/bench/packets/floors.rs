//! Programs that do a part of any balancer's work, to compare with.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramFd, Xdp},
};
use lb_common::{
    table::table_bytes,
    template::{Spread, Template},
};
use lb_tests::object::Action;

use super::{
    frames,
    harness::{self, Harness},
    memory::{self, Memory},
    tables,
    topology::Topology,
};
use crate::programs;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Floor {
    /// Only sends the frame back.
    Nothing,
    /// Reads one line of as much memory as the flow table has.
    OneLine,
    /// As `OneLine`, but the next packet waits for that line.
    OneLineWaited,
    /// Reads two lines at the same time, and waits for both.
    TwoLines,
    /// Finds the flow in the kernel's hash map, and rewrites the packet.
    HashNat,
    /// Finds the flow in an IPv4 table of xdplb's algorithm, and rewrites the packet.
    TableV4,
    /// As `TableV4`, in an IPv6 table.
    TableV6,
}

impl Floor {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::OneLine,
        Self::OneLineWaited,
        Self::TwoLines,
        Self::HashNat,
        Self::TableV4,
        Self::TableV6,
    ];

    const fn program(self) -> &'static str {
        match self {
            Self::Nothing => "xdp_tx",
            Self::OneLine => "one_line",
            Self::OneLineWaited => "one_line_waited",
            Self::TwoLines => "two_lines",
            Self::HashNat => "hash_nat",
            Self::TableV4 => "table_v4",
            Self::TableV6 => "table_v6",
        }
    }
}

/// Bytes of a cache line.
const LINE: u64 = 64;

pub(super) struct Floors {
    ebpf: Ebpf,
    /// One for each floor, in the order of [`Floor::ALL`].
    harnesses: Vec<Harness>,
    topology: Topology,
}

impl Floors {
    /// Creates the floors of a table with these connections: lines of as many bytes as the flow
    /// table has, and a hash map that is made for as many connections, and knows those that are
    /// open.
    pub(super) fn prepare(topology: Topology) -> Result<Self> {
        let lines = u32::try_from(table_bytes(topology.room()) / LINE)?;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("LINES", lines)
            .override_global("LINE_COUNT", &lines, true)
            .map_max_entries("TUPLES", topology.room())
            .map_max_entries("TABLE_V4", tables::buckets(topology))
            .map_max_entries("TABLE_V6", tables::buckets(topology))
            .override_global("TABLE_BUCKETS", &tables::buckets(topology), true)
            .load(programs::OBJECT)?;
        let harnesses = Floor::ALL.iter().map(|floor| Harness::of(&load(&mut ebpf, *floor)?));
        let harnesses = harnesses.collect::<Result<_>>()?;
        tables::fill(&ebpf, topology)?;
        let mut floors = Self { ebpf, harnesses, topology };
        floors.learn()?;
        Ok(floors)
    }

    /// Returns a harness for a floor without memory.
    pub(super) fn harness(floor: Floor) -> Result<Harness> {
        Harness::of(&load(&mut Ebpf::load(programs::OBJECT)?, floor)?)
    }

    /// Makes all clients known to the hash map, not in the order in which their packets will come:
    /// its entries lie in memory as they were made.
    fn learn(&mut self) -> Result<()> {
        let learn = programs::load(&mut self.ebpf, "hash_learn")?.fd()?.try_clone()?;
        let flows = self.topology.flows;
        let all = Template::new(frames::known(), Spread::CLIENTS, flows, 0).in_order();
        Harness::of(&learn)?.run(&all, 1 << flows, Action::Tx)?;
        self.check()
    }

    /// Sends frames; returns the cost of one.
    pub(super) fn run(&mut self, floor: Floor, template: &Template, frames: u32) -> Result<f64> {
        let cost = self.harnesses[floor as usize].run(template, frames, Action::Tx)?;
        self.check()?;
        Ok(cost)
    }

    /// Fails if a frame's flow was not in the hash map, or a line was not as expected.
    fn check(&self) -> Result<()> {
        let astray = harness::astray(&self.ebpf)?;
        ensure!(astray == 0, "{astray} frames did not take the path");
        Ok(())
    }

    /// Returns the memory of the hash map, for connections of two entries each.
    pub(super) fn memory(&self) -> Result<Memory> {
        let program: &Xdp =
            self.ebpf.program("hash_nat").context("the object has no hash_nat")?.try_into()?;
        let bytes = memory::of_map(program, "TUPLES")?;
        Ok(Memory::new("hash_nat", 2 * bytes, self.topology.room()))
    }
}

fn load(ebpf: &mut Ebpf, floor: Floor) -> Result<ProgramFd> {
    Ok(programs::load(ebpf, floor.program())?.fd()?.try_clone()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn packets_of_flows_that_the_hash_map_does_not_know_are_noticed() {
        let topology = Topology { services: 0, backends: 2, flows: 4 };
        let mut floors = Floors::prepare(topology).unwrap();
        let clients = |doublings| Template::new(frames::known(), Spread::CLIENTS, doublings, 0);
        floors.run(Floor::HashNat, &clients(4), 64).unwrap();
        let error = floors.run(Floor::HashNat, &clients(5), 64).unwrap_err();
        assert_eq!(error.to_string(), "32 frames did not take the path");
    }
}
