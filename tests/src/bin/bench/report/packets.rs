//! Reported results of packets.

use serde::Serialize;

use super::goals::{self, Goal};
use crate::{
    packets::{Cost, Memory, Scaling, SpeedUp},
    statistics::Sample,
};

/// Nanoseconds of CPU time per packet.
#[derive(Serialize)]
pub struct PacketRow {
    pub path: &'static str,
    pub family: &'static str,
    pub mode: &'static str,
    pub flows: u64,
    pub net_min: f64,
    pub net_median: f64,
    pub total_min: f64,
    pub total_median: f64,
    pub total_max: f64,
    pub null_min: f64,
    pub null_median: f64,
    pub rounds: usize,
    /// Net cost in units of that of `hash_nat` with as many connections: median of all rounds.
    pub to_hash_nat: Option<f64>,
    /// As `to_hash_nat`, in units of that of the lines that such a packet must read: `two_lines` if it
    /// opens a connection, otherwise `one_line_waited`.
    pub to_lines: Option<f64>,
    /// Greatest net cost that meets the goal: median of all rounds.
    pub goal: Option<f64>,
    pub is_goal_met: Option<bool>,
}

impl PacketRow {
    /// Returns a row for each cost, with its ratios to the floors among them.
    pub fn all(costs: &[Cost]) -> impl Iterator<Item = Self> {
        costs.iter().map(|cost| Self::new(cost, costs))
    }

    fn new(cost: &Cost, all: &[Cost]) -> Self {
        let floors = Floors { all, flows: cost.flows };
        let lines = if cost.path.opens() { "two_lines" } else { "one_line_waited" };
        let goal = Goal::of(cost.path.name, cost.flows).and_then(|goal| floors.bounds(goal));
        Self {
            path: cost.path.name,
            family: cost.path.family,
            mode: cost.path.mode,
            flows: cost.flows,
            net_min: cost.net_min(),
            net_median: cost.net_median(),
            total_min: cost.total.min(),
            total_median: cost.total.median(),
            total_max: cost.total.max(),
            null_min: cost.floor.min(),
            null_median: cost.floor.median(),
            rounds: cost.total.rounds(),
            to_hash_nat: floors.ratio(cost, "hash_nat"),
            to_lines: floors.ratio(cost, lines),
            is_goal_met: goal.as_ref().map(|bounds| is_within(&cost.net, bounds)),
            goal: goal.map(|bounds| Sample::new(bounds).median()),
        }
    }
}

/// Costs of the floors with some number of connections, in the same rounds.
#[derive(Clone, Copy)]
struct Floors<'a> {
    all: &'a [Cost],
    flows: u64,
}

impl Floors<'_> {
    fn find(&self, path: &str) -> Option<&[f64]> {
        let mut costs = self.all.iter();
        let floor = costs.find(|cost| cost.path.name == path && cost.flows == self.flows)?;
        Some(&floor.net)
    }

    /// Returns the median of all rounds of the ratio of a net cost to that of a floor: whatever slows
    /// a round slows both.
    fn ratio(&self, cost: &Cost, floor: &str) -> Option<f64> {
        let ratios = cost.net.iter().zip(self.find(floor)?).map(|(net, floor)| net / floor);
        Some(Sample::new(ratios.collect()).median())
    }

    /// Returns the greatest net cost that meets the goal, in each round.
    fn bounds(&self, goal: Goal) -> Option<Vec<f64>> {
        let floor = self.find(goal.floor())?;
        Some(floor.iter().map(|floor| goal.bound(*floor)).collect())
    }
}

/// Returns true if most costs are within the bounds of their rounds.
fn is_within(costs: &[f64], bounds: &[f64]) -> bool {
    let excess = costs.iter().zip(bounds).map(|(cost, bound)| cost - bound);
    Sample::new(excess.collect()).median() <= 0.0
}

/// Nanoseconds of CPU time per packet, by the number of some object.
#[derive(Serialize)]
pub struct ScalingRow {
    pub what: &'static str,
    pub size: u64,
    pub path: &'static str,
    pub net_min: f64,
    pub net_median: f64,
    pub rounds: usize,
    /// As in [`PacketRow`].
    pub to_hash_nat: Option<f64>,
}

impl ScalingRow {
    fn new(what: &'static str, size: u64, cost: &Cost, all: &[Cost]) -> Self {
        Self {
            what,
            size,
            path: cost.path.name,
            net_min: cost.net_min(),
            net_median: cost.net_median(),
            rounds: cost.total.rounds(),
            to_hash_nat: Floors { all, flows: cost.flows }.ratio(cost, "hash_nat"),
        }
    }

    /// Returns the rows of paths that were measured with several numbers of connections.
    pub fn of_flows(costs: &[Cost]) -> impl Iterator<Item = Self> {
        let scales = |cost: &&Cost| costs.iter().any(|other| other.is_of_another_size(cost));
        costs.iter().filter(scales).map(|cost| Self::new("flows", cost.flows, cost, costs))
    }

    pub fn of(Scaling { what, size, costs }: &Scaling) -> impl Iterator<Item = Self> {
        costs.iter().map(|cost| Self::new(what, *size, cost, costs))
    }
}

/// Memory of a table, as the kernel accounts for it.
#[derive(Serialize)]
pub struct MemoryRow {
    pub table: &'static str,
    /// Number of connections that the table is made for, of two flows each.
    pub connections: u32,
    pub bytes_per_flow: f64,
    pub bytes_per_connection: f64,
    pub goal: Option<f64>,
}

impl From<&Memory> for MemoryRow {
    fn from(memory: &Memory) -> Self {
        Self {
            table: memory.table,
            connections: memory.connections,
            bytes_per_flow: memory.per_flow(),
            bytes_per_connection: memory.per_connection(),
            goal: (memory.table == "xdplb").then_some(goals::BYTES_PER_CONNECTION),
        }
    }
}

/// Nanoseconds of CPU time per packet on one CPU and on two, net, and the rate of both to that of one.
#[derive(Serialize)]
pub struct CpusRow {
    pub path: &'static str,
    pub flows: u64,
    pub alone_min: f64,
    pub alone_median: f64,
    pub together_min: f64,
    pub together_median: f64,
    pub speed_up_median: f64,
    pub speed_up_range: [f64; 2],
    pub goal: Option<f64>,
    /// Packets on both at once, and those that were dropped, as both CPUs wanted the same entry.
    pub packets: u64,
    pub refused: u64,
    pub rounds: usize,
    pub disturbed_rounds: usize,
}

impl From<&SpeedUp> for CpusRow {
    fn from(measured: &SpeedUp) -> Self {
        let SpeedUp { path, alone, together, factor, .. } = measured;
        Self {
            path: path.name,
            flows: measured.flows,
            alone_min: alone.min(),
            alone_median: alone.median(),
            together_min: together.min(),
            together_median: together.median(),
            speed_up_median: factor.median(),
            speed_up_range: [factor.min(), factor.max()],
            goal: goals::of_two_cpus(path.name),
            packets: measured.sent,
            refused: measured.refused,
            rounds: factor.rounds(),
            disturbed_rounds: measured.disturbed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn a_goal_is_met_if_it_is_in_most_rounds() {
        let bounds = [10.0, 20.0, 30.0];
        assert!(is_within(&[9.0, 25.0, 29.0], &bounds));
        assert!(!is_within(&[9.0, 25.0, 31.0], &bounds));
    }
}
