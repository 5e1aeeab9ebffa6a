//! Nanoseconds per packet, by the paths through the program.

mod balancer;
mod frames;
mod harness;
mod path;
mod rounds;
mod scaling;

use anyhow::Result;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use self::{balancer::Topology, rounds::Rounds};
pub use self::{
    rounds::Cost,
    scaling::{Scaling, measure as measure_scaling},
};

/// Extent of the measurements.
pub struct Extent {
    pub rounds: u32,
    /// Frames per round of packets that change nothing: in large tables, each of another
    /// connection, so that none finds in a cache what another one has just fetched.
    pub frames: u32,
    /// Numbers of open connections, as powers of two.
    pub flows: &'static [u32],
}

/// Measures each path with flow tables of several sizes. Results before a failure count.
pub fn measure(extent: &Extent, costs: &mut Vec<Cost>) -> Result<()> {
    pin_to_one_cpu()?;
    for (place, flows) in extent.flows.iter().enumerate() {
        eprintln!("Measuring packets, {} connections", 1_u64 << flows);
        let mut rounds = Rounds::prepare(Topology { services: 0, backends: 2, flows: *flows })?;
        let paths = path::ALL.iter().filter(|path| place == 0 || path.at_all_sizes);
        costs.extend(rounds.measure(extent, paths)?);
    }
    Ok(())
}

/// Pins this thread to the last CPU that it may use: the first one serves most interrupts.
pub fn pin_to_one_cpu() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let mut last = CpuSet::new();
    for cpu in (0..CpuSet::count()).rev() {
        if allowed.is_set(cpu)? {
            last.set(cpu)?;
            break;
        }
    }
    Ok(sched_setaffinity(this, &last)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs root"]
    fn packets_of_all_paths_end_as_the_paths_say() {
        let mut costs = Vec::new();
        measure(&Extent { rounds: 1, frames: 1_024, flows: &[0, 10] }, &mut costs).unwrap();
        assert!(costs.len() > path::ALL.len(), "{}", costs.len());
    }
}
