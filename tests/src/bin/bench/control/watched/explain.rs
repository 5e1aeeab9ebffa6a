//! Time of an explanation.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lb_model::views::explanation::Explanation;
use lb_testbed::Testbed;
use lb_tests::{balancer::Balancer, servers::PORT};
use nix::sys::signal::Signal;

use super::{
    super::{Extent, Row, milliseconds, testbed},
    SITE, api,
};
use crate::plan::Plan;

const GOAL: f64 = 50.0;

/// Number of explanations after the first of a daemon.
const LATER: usize = 10;

/// Measures the command, from its start to its end, for a new connection to a service of the site.
pub(super) fn measure(extent: &Extent) -> Result<Vec<Row>> {
    let testbed = testbed()?;
    let mut balancer = SITE.start(&testbed, &api())?;
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..extent.rounds.div_ceil(10).max(3) {
        Plan::check()?;
        balancer.stop(Signal::SIGTERM);
        balancer = Balancer::start(&testbed, &SITE.text(&testbed, &api()));
        first.push(explain(&balancer, &testbed)?);
        for _ in 0..LATER {
            later.push(explain(&balancer, &testbed)?);
        }
    }
    Ok(vec![
        Row::new("explain: the first after the start, 1,000 backends", "ms", first).with_goal(GOAL),
        Row::new("explain: a later one", "ms", later).with_goal(GOAL),
    ])
}

fn explain(balancer: &Balancer, testbed: &Testbed) -> Result<f64> {
    let client = format!("{}:20000", testbed.clients()[0].address);
    let vip = format!("{}:{PORT}", testbed.vip());
    let begin = Instant::now();
    let told = balancer.done(&["explain", &client, &vip, "-o", "json"]);
    let time = milliseconds(begin);
    let told: Explanation = serde_json::from_str(&told)?;
    let selection = told.selection.context("no new connection was explained")?;
    ensure!(selection.backend.is_some(), "no backend was selected: {}", told.reason);
    Ok(time)
}
