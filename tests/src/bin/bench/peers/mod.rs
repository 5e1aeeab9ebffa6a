//! xdplb and its peers, in network namespaces.

mod candidate;
mod configuration;
mod contender;
mod cpu;
mod fixed_rate;
pub mod http;
mod iperf;
mod load;
mod row;
mod stage;
mod wrk;

use std::time::Duration;

use anyhow::Result;

pub use self::{
    candidate::{Candidate, xdplb_binary},
    configuration::INSIDE,
    load::Load,
    row::Row,
    stage::Stage,
};
use self::{contender::Contender, cpu::Patience};
use crate::{plan::Plan, report::Failures, statistics::Sample};

pub const SERVERS: usize = 3;

/// Extent of the measurements.
pub struct Extent {
    /// Rounds at a fixed rate, for CPU.
    pub cpu_rounds: u32,
    pub cpu_duration: Duration,
    /// Rounds at full speed.
    pub throughput_rounds: u32,
    pub throughput_duration: Duration,
    /// Time to wait while others keep the machine busy, and to repeat rounds that they disturbed.
    pub patience: Duration,
}

/// Result of one candidate under one load.
struct Outcome {
    candidate: Candidate,
    load: Load,
    /// Requests or bits per second.
    throughput: Sample,
    /// Latency of requests.
    latency: Option<Latency>,
    /// Microseconds of the whole machine per request or megabyte at the fixed rate, in rounds that
    /// nothing disturbed, if there are any.
    cpu_us: Sample,
    /// The same, less that of plain routing in the same round, if nothing disturbed either.
    marginal_cpu_us: Option<Sample>,
    /// Number of CPU rounds in which something else kept the machine busy.
    disturbed: usize,
}

/// In microseconds.
struct Latency {
    p50: Sample,
    p99: Sample,
    p999: Sample,
}

/// Measures all candidates in turn, several times. One that cannot be measured leaves an entry in
/// `failures`, and its results before that count.
pub fn measure(extent: &Extent, failures: &mut Failures) -> Result<Vec<Row>> {
    let mut contenders = set_up(failures)?;
    let mut patience = Patience::new(extent.patience);
    let mut rows = Vec::new();
    for load in Load::ALL {
        let rounds = extent.cpu_rounds.max(extent.throughput_rounds);
        for round in 1..=rounds {
            eprintln!("Measuring {}, round {round} of {rounds}", load.name());
            for contender in contenders.iter_mut().filter(|one| one.stands) {
                Plan::check()?;
                if let Err(error) = contender.play(load, round, extent, &mut patience) {
                    Plan::check()?;
                    contender.stands = false;
                    failures.add(&error.context(contender.failure(load)));
                }
            }
        }
        rows.extend(outcomes_of(load, &mut contenders).iter().map(Row::from));
    }
    Ok(rows)
}

fn set_up(failures: &mut Failures) -> Result<Vec<Contender>> {
    eprintln!("Setting {} testbeds up", Candidate::ALL.len());
    let mut contenders = Vec::new();
    for candidate in Candidate::ALL {
        Plan::check()?;
        match Stage::set_up(candidate, "bench", SERVERS) {
            Ok(stage) => contenders.push(Contender::new(stage)),
            Err(error) => {
                Plan::check()?;
                failures.add(&error.context(format!("cannot set {} up", candidate.name())));
            }
        }
    }
    Ok(contenders)
}

fn outcomes_of(load: Load, contenders: &mut [Contender]) -> Vec<Outcome> {
    let baseline = contenders.iter().find(|one| one.candidate() == Candidate::Routing);
    let baseline = baseline.map_or_else(Vec::new, |routing| routing.score.cpu.clone());
    contenders.iter_mut().filter_map(|one| one.take_outcome(load, &baseline)).collect()
}
