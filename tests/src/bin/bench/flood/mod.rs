//! A SYN flood to the served port, and its effect on legitimate clients.

mod clients;
mod field;

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use self::{clients::Fates, field::Field};
use crate::{generator::Pace, peers::Candidate, plan::Plan, report::Failures, statistics::Sample};

const CANDIDATES: [Candidate; 6] = [
    Candidate::Routing,
    Candidate::RoutingXdp,
    Candidate::Xdplb,
    Candidate::XdplbGeneric,
    Candidate::Nftables,
    Candidate::Haproxy,
];

/// Extent of the measurements.
pub struct Extent {
    pub rounds: u32,
    pub paces: &'static [Pace],
    /// Time of the flood alone, so that tables fill.
    pub lead: Duration,
    /// Time of canary requests.
    pub duration: Duration,
}

impl Extent {
    fn whole(&self) -> Duration {
        self.lead + self.duration
    }
}

/// Fate of requests under a flood.
#[derive(Serialize)]
pub struct Row {
    pub candidate: Candidate,
    /// Requested rate; none for full speed.
    pub asked_syn_per_s: Option<u32>,
    /// Rate that reached the candidate.
    pub syn_per_s: f64,
    /// Rate that the queue at the candidate dropped, the clients' frames included.
    pub not_taken_per_s: f64,
    pub rounds: usize,
    pub canary_requests: usize,
    pub canary_lost: usize,
    /// Latency of those that were answered.
    pub canary_p50_us: Option<f64>,
    pub canary_p99_us: Option<f64>,
    pub established_requests: usize,
    pub established_lost: usize,
}

/// One round of one candidate.
struct Round {
    flow: Flow,
    canary: Fates,
    established: Fates,
}

/// A flood, in frames a second.
struct Flow {
    syn_per_s: f64,
    not_taken_per_s: f64,
}

impl Row {
    fn new(candidate: Candidate, pace: Pace, rounds: &[Round]) -> Self {
        let canary = Fates::all(rounds.iter().map(|round| &round.canary));
        let established = Fates::all(rounds.iter().map(|round| &round.established));
        let latency = canary.latencies_us();
        let median = |of: fn(&Flow) -> f64| {
            Sample::new(rounds.iter().map(|round| of(&round.flow)).collect()).median()
        };
        Self {
            candidate,
            asked_syn_per_s: match pace {
                Pace::PerSecond(rate) => Some(rate),
                Pace::FullTilt => None,
            },
            syn_per_s: median(|flow| flow.syn_per_s),
            not_taken_per_s: median(|flow| flow.not_taken_per_s),
            rounds: rounds.len(),
            canary_requests: canary.requests(),
            canary_lost: canary.lost,
            canary_p50_us: latency.as_ref().map(|sample| sample.quantile(0.5)),
            canary_p99_us: latency.as_ref().map(|sample| sample.quantile(0.99)),
            established_requests: established.requests(),
            established_lost: established.lost,
        }
    }
}

/// Floods each candidate at each pace, in a new testbed each time, so that no flood is affected by
/// the one before. A candidate that cannot be measured leaves an entry in `failures`.
pub fn measure(extent: &Extent, failures: &mut Failures) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pace in extent.paces {
        for candidate in CANDIDATES {
            let rounds = (1..=extent.rounds).map(|round| {
                Plan::check()?;
                let name = candidate.name();
                eprintln!("Flooding {name}, {pace}, round {round} of {}", extent.rounds);
                Field::set_up(candidate)?.fight(*pace, extent)
            });
            match rounds.collect::<Result<Vec<_>>>() {
                Ok(rounds) => rows.push(Row::new(candidate, *pace, &rounds)),
                Err(error) => {
                    Plan::check()?;
                    failures.add(&error.context(format!("{} under a flood", candidate.name())));
                }
            }
        }
    }
    Ok(rows)
}
