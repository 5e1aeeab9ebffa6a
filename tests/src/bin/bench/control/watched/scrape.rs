//! Time of a scrape.

use std::{
    io::Read as _,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use aya::maps::{Array, Map, MapData};
use lb_common::{LAYOUT, stats::TcpStats};
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

/// Figures of a backend that has seen all kinds of handshakes.
const SEEN: TcpStats = TcpStats {
    resets_by_client: 12,
    resets_by_backend: 3,
    retransmitted_syns: 7,
    handshake_nanos: 123_456_789,
    handshakes: [5; _],
};

/// Measures a request for the metrics of services of ten backends, until the last byte has come: before any
/// connection, and with all backends' histograms.
pub(super) fn measure(extent: &Extent) -> Result<Vec<Row>> {
    let testbed = testbed()?;
    let services = document::services(&testbed, SERVICES, BACKENDS);
    let text = configuration(&testbed, document::LIMITS) + &api() + &services;
    let _balancer = Balancer::start(&testbed, &text);
    let idle = scrapes(extent, &testbed)?;
    pretend_handshakes(&testbed)?;
    let used = scrapes(extent, &testbed)?;
    let row = |of, times| Row::new(of, "ms", times).with_goal(100.0);
    Ok(vec![
        row("scrape: metrics of 1,000 services x 10 backends", idle),
        row("scrape: the same with latencies of all backends", used),
    ])
}

fn scrapes(extent: &Extent, testbed: &Testbed) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..extent.rounds.div_ceil(5).max(10) {
        Plan::check()?;
        sleep(KEPT);
        times.push(scrape(testbed)?);
    }
    Ok(times)
}

/// Writes what handshakes with all backends would leave in the program's map.
fn pretend_handshakes(testbed: &Testbed) -> Result<()> {
    let pin = testbed.bpffs().join(format!("xdplb/v{LAYOUT}/TCP_STATS"));
    let mut stats: Array<_, TcpStats> = Map::Array(MapData::from_pin(pin)?).try_into()?;
    let most = u32::try_from(2 * SERVICES * BACKENDS)?.min(stats.len());
    (0..most).try_for_each(|id| Ok(stats.set(id, SEEN, 0)?))
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
