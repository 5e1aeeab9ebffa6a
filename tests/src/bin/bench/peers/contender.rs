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
    /// True until it fails.
    pub(super) stands: bool,
    pub(super) score: Score,
}

#[derive(Default)]
pub(super) struct Score {
    throughput: Vec<Throughput>,
    pub(super) cpu: Vec<CpuRound>,
}

/// CPU time of the whole machine per request or megabyte at the fixed rate.
#[derive(Clone, Copy)]
pub(super) struct CpuRound {
    us: f64,
    /// True if nothing else kept the machine busy.
    calm: bool,
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
            self.score.cpu.push(self.cpu(load, extent, patience)?);
        }
        if round <= extent.throughput_rounds {
            let throughput = self.stage.throughput(load, extent.throughput_duration)?;
            self.score.throughput.push(throughput);
        }
        Ok(())
    }

    /// Measures between two moments in which the machine is idle. A disturbed round is repeated
    /// while patience lasts.
    fn cpu(&self, load: Load, extent: &Extent, patience: &mut Patience) -> Result<CpuRound> {
        loop {
            let calm = patience.await_calm()?;
            let us = self.stage.cpu_us(load, extent.cpu_duration)?;
            let calm = calm && cpu::is_calm()?;
            if calm || !patience.spend(extent.cpu_duration) {
                return Ok(CpuRound { us, calm });
            }
        }
    }

    /// Takes its outcome under a load, if there is one, and clears the score for the next load.
    pub(super) fn take_outcome(&mut self, load: Load, baseline: &[CpuRound]) -> Option<Outcome> {
        let Score { throughput, cpu } = mem::take(&mut self.score);
        let marginal = cpu.iter().zip(baseline).map(|(own, routing)| CpuRound {
            us: own.us - routing.us,
            calm: own.calm && routing.calm,
        });
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
            marginal_cpu_us: calm_ones(&marginal.collect::<Vec<_>>()),
            cpu_us: calm_ones(&cpu)?,
            disturbed: cpu.iter().filter(|round| !round.calm).count(),
        })
    }
}

/// Returns the undisturbed rounds, or all if there are none.
fn calm_ones(rounds: &[CpuRound]) -> Option<Sample> {
    let of = |calm: fn(&CpuRound) -> bool| {
        Sample::of(rounds.iter().filter(|round| calm(round)).map(|round| round.us).collect())
    };
    of(|round| round.calm).or_else(|| of(|_| true))
}
