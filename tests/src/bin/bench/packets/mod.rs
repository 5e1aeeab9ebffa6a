//! Nanoseconds per packet, by path through the program.

mod at_once;
mod balancer;
mod floors;
mod frames;
mod harness;
mod memory;
mod path;
mod rounds;
mod scaling;
mod tables;
mod topology;
mod two_cpus;

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

pub use self::{
    memory::Memory,
    rounds::Cost,
    scaling::{Scaling, measure as measure_scaling},
    two_cpus::{SpeedUp, measure as measure_two_cpus},
};
use self::{rounds::Rounds, topology::Topology};

/// Extent of the measurement.
pub struct Extent {
    pub rounds: u32,
    /// Frames per round of packets that change nothing: in large tables, each of another
    /// connection, so that none finds a cache line fetched by another.
    pub frames: u32,
    /// Numbers of open connections, as powers of two.
    pub flows: &'static [u32],
}

/// Costs of packets, and the memory of the tables.
#[derive(Default)]
pub struct Measured {
    pub costs: Vec<Cost>,
    pub memory: Vec<Memory>,
}

/// Measures each path with flow tables of a few sizes. Results before a failure are kept.
pub fn measure(extent: &Extent, measured: &mut Measured) -> Result<()> {
    pin_to_one_cpu()?;
    for (place, flows) in extent.flows.iter().enumerate() {
        eprintln!("Measuring packets, {} connections", 1_u64 << flows);
        let mut rounds = Rounds::prepare(Topology { services: 0, backends: 2, flows: *flows })?;
        measured.memory.extend(rounds.memory()?);
        let paths = path::ALL.iter().filter(|path| place == 0 || path.at_all_sizes);
        measured.costs.extend(rounds.measure(extent, paths)?);
    }
    Ok(())
}

/// Pins this thread to the last CPU allowed: the first one serves most interrupts.
pub fn pin_to_one_cpu() -> Result<()> {
    pin(*cpus()?.last().context("no CPU is allowed")?)
}

fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}

/// Returns the CPUs that this thread may run on.
fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: Extent = Extent { rounds: 1, frames: 1_024, flows: &[0, 10] };

    #[test]
    #[ignore = "needs root"]
    fn packets_of_all_paths_end_as_the_paths_say() {
        let mut measured = Measured::default();
        measure(&EXTENT, &mut measured).unwrap();
        assert!(measured.costs.len() > path::ALL.len(), "{}", measured.costs.len());
        assert_eq!(measured.memory.len(), 4);
    }

    #[test]
    #[ignore = "needs root"]
    fn packets_on_two_cpus_end_as_the_paths_say() {
        let cpus = cpus().unwrap().len();
        let mut speed_ups = Vec::new();
        measure_two_cpus(&EXTENT, &mut speed_ups).unwrap();
        assert_eq!(speed_ups.is_empty(), cpus < 2, "{} results of {cpus} CPUs", speed_ups.len());
    }
}
