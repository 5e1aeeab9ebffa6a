//! Speed and resource use of the daemon: a document of many services, edited; many checks; those who look.

mod checks;
mod crowd;
mod document;
mod watched;

use std::{
    net::Ipv4Addr,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_dataplane::ring::{Member, build};
use lb_model::Scheduler;
use lb_testbed::Testbed;
use lb_tests::processes::cpu_time;
use serde::Serialize;

use crate::statistics::Sample;

pub use self::watched::measure as measure_watched;

const PREFIX: &str = "benchc";

/// Time over which the use of a core is measured.
const ROUND: Duration = Duration::from_secs(4);

/// Extent of the measurement.
pub struct Extent {
    pub services: usize,
    pub rounds: usize,
    /// Number of backends that are checked.
    pub checks: u32,
}

/// One measured quantity.
#[derive(Serialize)]
pub struct Row {
    pub what: &'static str,
    pub unit: &'static str,
    pub min: f64,
    pub median: f64,
    pub max: f64,
    pub rounds: usize,
    /// Greatest median that meets the goal.
    pub goal: Option<f64>,
}

impl Row {
    fn new(what: &'static str, unit: &'static str, measured: Vec<f64>) -> Self {
        let sample = Sample::new(measured);
        let (min, median, max) = (sample.min(), sample.median(), sample.max());
        Self { what, unit, min, median, max, rounds: sample.rounds(), goal: None }
    }

    fn with_goal(self, goal: f64) -> Self {
        Self { goal: Some(goal), ..self }
    }
}

pub fn measure(extent: &Extent) -> Result<Vec<Row>> {
    let mut rows = vec![maglev(extent)];
    rows.extend(document::measure(extent)?);
    rows.push(checks::measure(extent)?);
    Ok(rows)
}

/// Measures building a Maglev table of 65,537 slots for 1,000 backends.
fn maglev(extent: &Extent) -> Row {
    let member = |id| Member { id, address: (Ipv4Addr::from(id), 80).into(), weight: 1 };
    let members: Vec<_> = (1..=1_000).map(member).collect();
    let measured = (0..extent.rounds)
        .map(|_| timed(|| assert_eq!(build(Scheduler::Maglev, &members).len(), 65_537)));
    Row::new("a Maglev table for 1,000 backends", "ms", measured.collect())
}

fn testbed() -> Result<Testbed> {
    Testbed::remove(PREFIX)?;
    Testbed::two_arm(PREFIX, 3).context("no testbed")
}

/// Returns the share of a core that a process uses for a while, in percent.
fn share_of_a_core(pid: u32) -> f64 {
    let (begin, before) = (Instant::now(), cpu_time(pid));
    sleep(ROUND);
    let used = cpu_time(pid).saturating_sub(before);
    100.0 * used.as_secs_f64() / begin.elapsed().as_secs_f64()
}

/// Returns how long work takes, in milliseconds.
fn timed<T>(work: impl FnOnce() -> T) -> f64 {
    let begin = Instant::now();
    work();
    milliseconds(begin)
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
