//! Speed and resource use of the daemon: a document of many services, edited; many checks.

mod checks;
mod document;

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use lb_dataplane::ring::{Member, build};
use lb_model::Scheduler;
use lb_testbed::Testbed;
use serde::Serialize;

use crate::statistics::Sample;

const PREFIX: &str = "benchc";

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
}

impl Row {
    fn new(what: &'static str, unit: &'static str, measured: Vec<f64>) -> Self {
        let sample = Sample::new(measured);
        let (min, median, max) = (sample.min(), sample.median(), sample.max());
        Self { what, unit, min, median, max, rounds: sample.rounds() }
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
    let measured = (0..extent.rounds).map(|_| {
        let begin = std::time::Instant::now();
        assert_eq!(build(Scheduler::Maglev, &members).len(), 65_537);
        milliseconds(begin)
    });
    Row::new("a Maglev table for 1,000 backends", "ms", measured.collect())
}

fn testbed() -> Result<Testbed> {
    Testbed::remove(PREFIX)?;
    Testbed::two_arm(PREFIX, 3).context("no testbed")
}

fn milliseconds(begin: std::time::Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
