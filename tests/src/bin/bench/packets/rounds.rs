//! Rounds of measurements of all paths in turn.

use anyhow::{Context as _, Result};
use lb_common::template::Template;

use super::{
    Extent,
    balancer::Balancer,
    floors::{Floor, Floors},
    memory::Memory,
    path::{Handler, Path},
    topology::Topology,
};
use crate::{plan::Plan, statistics::Sample};

/// A kind of packet and its cost.
pub struct Cost {
    pub path: &'static Path,
    /// Number of connections in the flow table.
    pub flows: u64,
    pub total: Sample,
    /// Cost of a program that does nothing, in the same rounds.
    pub floor: Sample,
    /// Difference of both in each round, in the order of the rounds of all paths.
    pub net: Vec<f64>,
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

/// Number of connections that are opened in a round, at least.
const OPENED: u32 = 1_024;

/// The measured program and its references.
pub(super) struct Rounds {
    topology: Topology,
    balancer: Balancer,
    /// Another one, which counts packets and bytes of each connection, once it is needed.
    accounting: Option<Balancer>,
    floors: Floors,
    /// Number of clients that have opened a connection and were forgotten.
    strangers: u64,
}

impl Rounds {
    pub(super) fn prepare(topology: Topology) -> Result<Self> {
        let (balancer, floors) = (Balancer::new(topology)?, Floors::prepare(topology)?);
        Ok(Self { topology, balancer, accounting: None, floors, strangers: 0 })
    }

    /// Returns the memory of the tables.
    pub(super) fn memory(&self) -> Result<[Memory; 2]> {
        Ok([self.floors.memory()?, self.balancer.memory()?])
    }

    /// Measures the paths in turn, each together with the floor: the start-up cost of a run is
    /// visible in short runs.
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
            let net = pairs.iter().map(|(total, floor)| total - floor).collect();
            let (total, floor) = pairs.into_iter().unzip();
            let (total, floor) = (Sample::new(total), Sample::new(floor));
            Cost { path, flows: 1 << self.topology.flows, total, floor, net }
        });
        Ok(costs.collect())
    }

    /// Returns the cost of a packet of this path, and that of doing nothing with it, in
    /// nanoseconds.
    fn measure_once(&mut self, path: &Path, round: u32, frames: u32) -> Result<(f64, f64)> {
        if path.opens() {
            return self.open(path, frames);
        }
        let flows = 1_u64 << path.senders.doublings(self.topology);
        let sent = u64::from(round) * u64::from(frames);
        if flows <= frames.into() {
            // Refills the caches with data that the other paths evicted.
            self.run(path, sent, frames)?;
        }
        self.run(path, sent, frames)
    }

    /// As [`Self::measure_once`], for packets that open connections: in batches so small that these
    /// hardly evict each other.
    fn open(&mut self, path: &Path, frames: u32) -> Result<(f64, f64)> {
        let batch = OPENED.min(self.topology.room() / 16);
        let batches = OPENED / batch;
        if 1 << self.topology.flows <= u64::from(frames) {
            // Each batch meets other entries: all of the table must be fetched again.
            self.balancer.fetch()?;
        }
        // With so few frames, the first of them would matter if the program had not just run.
        self.run_strangers(path, batch)?;
        let (mut total, mut floor) = (0.0, 0.0);
        for _ in 0..batches {
            let pair = self.run_strangers(path, batch)?;
            total += pair.0;
            floor += pair.1;
        }
        Ok((total / f64::from(batches), floor / f64::from(batches)))
    }

    fn run_strangers(&mut self, path: &Path, frames: u32) -> Result<(f64, f64)> {
        let first = self.strangers;
        self.strangers += u64::from(frames);
        let pair = self.run(path, first, frames)?;
        self.balancer.forget(self.template(path, first), frames)?;
        Ok(pair)
    }

    fn run(&mut self, path: &Path, sent: u64, frames: u32) -> Result<(f64, f64)> {
        let template = self.template(path, sent);
        let floor = self.floors.run(Floor::Nothing, &template, frames)?;
        let total = match path.handler {
            Handler::Xdplb(reason) => self.balancer.send(&template, frames, reason)?,
            Handler::XdplbRedirecting => self.balancer.redirect(&template, frames)?,
            Handler::XdplbAccounting(reason) => {
                self.accounting()?.send(&template, frames, reason)?
            }
            Handler::Floor(floor) => self.floors.run(floor, &template, frames)?,
        };
        Ok((total, floor))
    }

    fn accounting(&mut self) -> Result<&mut Balancer> {
        let accounting = match self.accounting.take() {
            Some(balancer) => balancer,
            None => Balancer::accounting(self.topology)?,
        };
        Ok(self.accounting.insert(accounting))
    }

    /// Returns the frames of a path from the `sent`th on.
    fn template(&self, path: &Path, sent: u64) -> Template {
        let (spread, doublings) =
            (path.senders.spread(self.topology), path.senders.doublings(self.topology));
        let template = Template::new((path.frame)(), spread, doublings, sent);
        if path.is_cut() { template.one_by_one() } else { template }
    }
}
