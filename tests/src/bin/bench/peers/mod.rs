//! xdplb and its peers, in network namespaces.

mod candidate;
mod configuration;
mod cpu;
mod fixed_rate;
pub mod http;
mod stage;
mod wrk;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use self::wrk::Throughput;
pub use self::{
    candidate::{Candidate, xdplb_binary},
    configuration::INSIDE,
    stage::Stage,
};
use crate::{Plan, statistics::Sample};

pub const SERVERS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// One for each request.
    NewConnections,
    KeepAlive,
}

impl Load {
    pub const ALL: [Self; 2] = [Self::NewConnections, Self::KeepAlive];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewConnections => "new_connections",
            Self::KeepAlive => "keep_alive",
        }
    }

    /// Requests a second that every candidate can do, at which CPU is compared.
    #[must_use]
    pub fn fixed_rate(self) -> u32 {
        match self {
            Self::NewConnections => 2_400,
            Self::KeepAlive => 10_000,
        }
    }
}

/// What one candidate did under one load.
pub struct Outcome {
    pub candidate: Candidate,
    pub load: Load,
    pub requests_per_s: Sample,
    pub p50_us: Sample,
    pub p99_us: Sample,
    /// Of the whole machine, at the fixed rate.
    pub cpu_us_per_request: Sample,
    /// Less what plain routing took in the same round.
    pub marginal_cpu_us_per_request: Sample,
    /// Rounds in which something else kept the machine busy.
    pub disturbed: usize,
}

/// One round of one candidate under one load.
struct Round {
    throughput: Throughput,
    cpu_us: f64,
    calm: bool,
}

/// How long each measurement takes.
pub struct Durations {
    pub throughput: Duration,
    pub fixed_rate: Duration,
}

/// Measures all candidates in turn, several times.
pub fn measure(plan: &Plan) -> Result<Vec<Outcome>> {
    eprintln!("Setting {} beds up", Candidate::ALL.len());
    let mut stages = Vec::new();
    for candidate in Candidate::ALL {
        Plan::check()?;
        let stage = Stage::set_up(candidate, "bench", SERVERS);
        stages.push(stage.with_context(|| format!("cannot set {} up", candidate.name()))?);
    }
    let mut outcomes = Vec::new();
    for load in Load::ALL {
        let mut rounds: Vec<Vec<Round>> = stages.iter().map(|_| Vec::new()).collect();
        for round in 1..=plan.peer_rounds {
            eprintln!("Measuring {}, round {round} of {}", load.name(), plan.peer_rounds);
            for (stage, rounds) in stages.iter().zip(&mut rounds) {
                Plan::check()?;
                let name = stage.candidate.name();
                let round = stage.play(load, &plan.durations);
                rounds.push(round.with_context(|| format!("{name} failed under load"))?);
            }
        }
        outcomes.extend(outcomes_of(load, &stages, &rounds));
    }
    Ok(outcomes)
}

fn outcomes_of(load: Load, stages: &[Stage], rounds: &[Vec<Round>]) -> Vec<Outcome> {
    let baseline = stages.iter().position(|stage| stage.candidate == Candidate::Routing);
    let baseline = &rounds[baseline.expect("routing is a candidate")];
    let outcome = |(stage, rounds): (&Stage, &Vec<Round>)| {
        let sample = |value: fn(&Round) -> f64| Sample::new(rounds.iter().map(value).collect());
        let marginal =
            rounds.iter().zip(baseline).map(|(own, routing)| own.cpu_us - routing.cpu_us);
        Outcome {
            candidate: stage.candidate,
            load,
            requests_per_s: sample(|round| round.throughput.requests_per_s()),
            p50_us: sample(|round| round.throughput.p50_us),
            p99_us: sample(|round| round.throughput.p99_us),
            cpu_us_per_request: sample(|round| round.cpu_us),
            marginal_cpu_us_per_request: Sample::new(marginal.collect()),
            disturbed: rounds.iter().filter(|round| !round.calm).count(),
        }
    };
    stages.iter().zip(rounds).map(outcome).collect()
}
