//! Paths measured in turn, round after round.

use anyhow::{Context as _, Result};
use lb_common::{table::buckets_for, template::Template};

use super::{
    Extent,
    balancer::{Balancer, Topology},
    harness::Harness,
    path::{Handler, Path, Senders},
};
use crate::{plan::Plan, statistics::Sample};

/// A kind of packet and its cost.
pub struct Cost {
    pub path: &'static Path,
    /// Connections in the flow table.
    pub flows: u64,
    pub total: Sample,
    /// Cost of a program that does nothing, in the same rounds.
    pub floor: Sample,
}

impl Cost {
    /// Returns true if it is of the same path, with another number of connections.
    #[must_use]
    pub fn is_of_another_size(&self, other: &Self) -> bool {
        self.path.name == other.path.name && self.flows != other.flows
    }

    #[must_use]
    pub fn net_min(&self) -> f64 {
        self.total.min() - self.floor.min()
    }

    #[must_use]
    pub fn net_median(&self) -> f64 {
        self.total.median() - self.floor.median()
    }
}

/// The topology under test, and the baselines measured beside it.
pub(super) struct Rounds {
    topology: Topology,
    balancer: Balancer,
    one_line: Harness,
    one_line_waited: Harness,
    nothing: Harness,
}

impl Rounds {
    pub(super) fn prepare(topology: Topology) -> Result<Self> {
        let buckets = buckets_for(topology.room());
        Ok(Self {
            topology,
            balancer: Balancer::new(topology)?,
            one_line: Harness::of_one_line("one_line", buckets)?,
            one_line_waited: Harness::of_one_line("one_line_waited", buckets)?,
            nothing: Harness::of_nothing()?,
        })
    }

    /// Measures the paths in turn, each beside the floor: a run's fixed cost before its first frame
    /// is visible in short runs.
    pub(super) fn measure(
        &mut self,
        extent: &Extent,
        paths: impl IntoIterator<Item = &'static Path>,
    ) -> Result<Vec<Cost>> {
        let mut measured: Vec<_> = paths.into_iter().map(|path| (path, Vec::new())).collect();
        // The first round warms up.
        for round in 0..=extent.rounds {
            for (path, pairs) in &mut measured {
                Plan::check()?;
                let pair = self.measure_once(path, round, extent.frames);
                let pair = pair.with_context(|| format!("the path {}", path.name))?;
                pairs.extend((round > 0).then_some(pair));
            }
        }
        let costs = measured.into_iter().map(|(path, pairs)| {
            let (total, floor) = pairs.into_iter().unzip();
            let (total, floor) = (Sample::new(total), Sample::new(floor));
            Cost { path, flows: 1 << self.topology.flows, total, floor }
        });
        Ok(costs.collect())
    }

    /// Returns the costs of a packet of this path, and of a program that does nothing with it.
    fn measure_once(&mut self, path: &Path, round: u32, frames: u32) -> Result<(f64, f64)> {
        if path.senders != Senders::Strangers {
            let flows = 1_u64 << path.senders.doublings(self.topology);
            if flows <= frames.into() {
                // Restores to the caches what the other paths have displaced.
                self.run(path, round, frames)?;
            }
            return self.run(path, round, frames);
        }
        // So few frames that the first of them would matter if the program had not just run.
        let newcomers = self.newcomers();
        self.run(path, 2 * round, newcomers)?;
        self.run(path, 2 * round + 1, newcomers)
    }

    fn run(&mut self, path: &Path, round: u32, frames: u32) -> Result<(f64, f64)> {
        let template = Template::new(
            (path.frame)(),
            path.senders.spread(self.topology),
            path.senders.doublings(self.topology),
            u64::from(round) * u64::from(frames),
        );
        let template = if path.is_cut() { template.one_by_one() } else { template };
        let floor = self.nothing.run(&template, frames)?;
        let total = match path.handler {
            Handler::Xdplb(reason) => self.balancer.send(&template, frames, reason)?,
            Handler::OneLine => self.one_line.run(&template, frames)?,
            Handler::OneLineWaited => self.one_line_waited.run(&template, frames)?,
        };
        if path.senders == Senders::Strangers {
            self.balancer.forget(template, frames);
        }
        Ok((total, floor))
    }

    /// Returns the connections opened in a round: so few that they hardly displace each other.
    fn newcomers(&self) -> u32 {
        (self.topology.room() / 16).min(1_024)
    }
}
