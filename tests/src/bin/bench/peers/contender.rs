//! A candidate on its stage, and its score under one load.

use std::mem;

use anyhow::Result;

use super::{
    Candidate, Extent, Latency, Load, Outcome, Stage,
    cpu::{self, Patience},
    wrk::Throughput,
};
use crate::statistics::Sample;

pub(super) struct Contender {
    stage: Stage,
    /// It has not failed yet.
    pub(super) stands: bool,
    pub(super) score: Score,
}

#[derive(Default)]
pub(super) struct Score {
    throughput: Vec<Throughput>,
    /// By rounds.
    pub(super) cpu_us: Vec<f64>,
    disturbed: usize,
}

impl Contender {
    pub(super) fn new(stage: Stage) -> Self {
        Self { stage, stands: true, score: Score::default() }
    }

    pub(super) fn candidate(&self) -> Candidate {
        self.stage.candidate
    }

    pub(super) fn failure(&self, load: Load) -> String {
        format!("{} failed under load {}", self.candidate().name(), load.name())
    }

    pub(super) fn play(
        &mut self,
        load: Load,
        round: u32,
        extent: &Extent,
        patience: &mut Patience,
    ) -> Result<()> {
        self.stage.forget_closed_connections()?;
        if round <= extent.cpu_rounds {
            let (cpu_us, calm) = self.cpu_us(load, extent, patience)?;
            self.score.cpu_us.push(cpu_us);
            self.score.disturbed += usize::from(!calm);
        }
        if round <= extent.throughput_rounds {
            let throughput = self.stage.throughput(load, extent.throughput_duration)?;
            self.score.throughput.push(throughput);
        }
        Ok(())
    }

    /// CPU at the fixed rate, and whether nothing disturbed it: the machine was calm before and
    /// after. What was disturbed is measured again, as long as patience lasts.
    fn cpu_us(&self, load: Load, extent: &Extent, patience: &mut Patience) -> Result<(f64, bool)> {
        loop {
            let calm = patience.await_calm()?;
            let cpu_us = self.stage.cpu_us(load, extent.cpu_duration)?;
            let calm = calm && cpu::is_calm()?;
            if calm || !patience.spend(extent.cpu_duration) {
                return Ok((cpu_us, calm));
            }
        }
    }

    /// What it did under a load, if it got so far, and makes room for the next one's score.
    pub(super) fn take_outcome(&mut self, load: Load, baseline: &[f64]) -> Option<Outcome> {
        let Score { throughput, cpu_us, disturbed } = mem::take(&mut self.score);
        let marginal = cpu_us.iter().zip(baseline).map(|(own, routing)| own - routing);
        let latency = |of: fn(&Throughput) -> Option<f64>| {
            Sample::of(throughput.iter().filter_map(of).collect())
        };
        Some(Outcome {
            candidate: self.candidate(),
            load,
            latency: latency(|one| one.p50_us)
                .zip(latency(|one| one.p99_us))
                .zip(latency(|one| one.p999_us))
                .map(|((p50, p99), p999)| Latency { p50, p99, p999 }),
            throughput: Sample::of(throughput.iter().map(|one| one.per_second).collect())?,
            marginal_cpu_us: Sample::of(marginal.collect()),
            cpu_us: Sample::of(cpu_us)?,
            disturbed,
        })
    }
}
