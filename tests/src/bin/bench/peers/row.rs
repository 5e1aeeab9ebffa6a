//! The reported result of a candidate under a load.

use serde::Serialize;

use super::{Candidate, Latency, Load, Outcome};
use crate::statistics::Sample;

/// Medians, with the range of all rounds, or the 95 % confidence interval of the median. CPU is
/// that of the whole machine at a fixed rate; marginal: less that of plain routing.
#[derive(Serialize)]
pub struct Row {
    pub candidate: Candidate,
    pub load: Load,
    pub requests_per_s: Option<f64>,
    pub requests_per_s_range: Option<[f64; 2]>,
    pub bits_per_s: Option<f64>,
    pub bits_per_s_range: Option<[f64; 2]>,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub cpu_us_per_request: Option<f64>,
    pub marginal_cpu_us_per_request: Option<f64>,
    pub marginal_cpu_us_per_request_interval: Option<[f64; 2]>,
    pub cpu_us_per_megabyte: Option<f64>,
    pub marginal_cpu_us_per_megabyte: Option<f64>,
    pub marginal_cpu_us_per_megabyte_interval: Option<[f64; 2]>,
    pub throughput_rounds: usize,
    pub cpu_rounds: usize,
    /// Number of pairs with plain routing.
    pub marginal_rounds: usize,
    pub disturbed_rounds: usize,
}

impl From<&Outcome> for Row {
    fn from(outcome: &Outcome) -> Self {
        let Outcome { throughput, cpu_us, .. } = outcome;
        let (requests, bytes) = match outcome.load {
            Load::NewConnections | Load::KeepAlive => (Some(()), None),
            Load::Bulk => (None, Some(())),
        };
        let latency =
            |of: fn(&Latency) -> &Sample| outcome.latency.as_ref().map(of).map(Sample::median);
        let marginal = outcome.marginal_cpu_us.as_ref().map(Sample::median);
        let interval = outcome.marginal_cpu_us.as_ref().map(Sample::median_interval);
        Self {
            candidate: outcome.candidate,
            load: outcome.load,
            requests_per_s: requests.map(|()| throughput.median()),
            requests_per_s_range: requests.map(|()| range(throughput)),
            bits_per_s: bytes.map(|()| throughput.median()),
            bits_per_s_range: bytes.map(|()| range(throughput)),
            p50_us: latency(|latency| &latency.p50),
            p99_us: latency(|latency| &latency.p99),
            p999_us: latency(|latency| &latency.p999),
            cpu_us_per_request: requests.map(|()| cpu_us.median()),
            marginal_cpu_us_per_request: requests.and(marginal),
            marginal_cpu_us_per_request_interval: requests.and(interval),
            cpu_us_per_megabyte: bytes.map(|()| cpu_us.median()),
            marginal_cpu_us_per_megabyte: bytes.and(marginal),
            marginal_cpu_us_per_megabyte_interval: bytes.and(interval),
            throughput_rounds: throughput.rounds(),
            cpu_rounds: cpu_us.rounds(),
            marginal_rounds: outcome.marginal_cpu_us.as_ref().map_or(0, Sample::rounds),
            disturbed_rounds: outcome.disturbed,
        }
    }
}

fn range(sample: &Sample) -> [f64; 2] {
    [sample.min(), sample.max()]
}
