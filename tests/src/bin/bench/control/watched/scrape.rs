//! Time of a scrape.

use std::{
    io::Read as _,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lb_testbed::Testbed;
use lb_tests::balancer::{Balancer, configuration};

use super::{
    super::{Extent, Row, document, milliseconds, testbed},
    api, request,
};
use crate::plan::Plan;

const SERVICES: usize = 1_000;
const BACKENDS: usize = 10;

/// After this time the balancer writes its metrics anew.
const KEPT: Duration = Duration::from_millis(700);

/// Measures a request for the metrics of services of ten backends, until the last byte has come.
pub(super) fn measure(extent: &Extent) -> Result<Row> {
    let testbed = testbed()?;
    let services = document::services(&testbed, SERVICES, BACKENDS);
    let text = configuration(&testbed, document::LIMITS) + &api() + &services;
    let _balancer = Balancer::start(&testbed, &text);
    let mut times = Vec::new();
    for _ in 0..extent.rounds.div_ceil(5).max(10) {
        Plan::check()?;
        sleep(KEPT);
        times.push(scrape(&testbed)?);
    }
    Ok(Row::new("scrape: metrics of 1,000 services x 10 backends", "ms", times).with_goal(100.0))
}

fn scrape(testbed: &Testbed) -> Result<f64> {
    let begin = Instant::now();
    let mut answer = String::new();
    request(testbed, "/metrics")?.read_to_string(&mut answer)?;
    let time = milliseconds(begin);
    ensure!(answer.starts_with("HTTP/1.0 200"), "an answer is not 200 OK");
    let shown = answer.lines().filter(|line| line.starts_with("xdplb_backend_up{")).count();
    ensure!(shown == SERVICES * BACKENDS, "the metrics have {shown} backends");
    Ok(time)
}
