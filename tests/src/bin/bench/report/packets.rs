//! The reported costs of packets.

use serde::Serialize;

use crate::packets::{Cost, Scaling};

/// Nanoseconds of CPU time.
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
}

impl From<&Cost> for PacketRow {
    fn from(cost: &Cost) -> Self {
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
        }
    }
}

/// Nanoseconds of CPU time, for one size of the configuration.
#[derive(Serialize)]
pub struct ScalingRow {
    pub what: &'static str,
    pub size: u64,
    pub path: &'static str,
    pub net_min: f64,
    pub net_median: f64,
    pub rounds: usize,
}

impl ScalingRow {
    fn new(what: &'static str, size: u64, cost: &Cost) -> Self {
        Self {
            what,
            size,
            path: cost.path.name,
            net_min: cost.net_min(),
            net_median: cost.net_median(),
            rounds: cost.total.rounds(),
        }
    }

    /// Returns rows by number of connections, for paths measured with several.
    pub fn of_flows(costs: &[Cost]) -> impl Iterator<Item = Self> {
        let scales = |cost: &&Cost| costs.iter().any(|other| other.is_of_another_size(cost));
        costs.iter().filter(scales).map(|cost| Self::new("flows", cost.flows, cost))
    }

    pub fn of(scaling: &Scaling) -> impl Iterator<Item = Self> {
        scaling.costs.iter().map(|cost| Self::new(scaling.what, scaling.size, cost))
    }
}
