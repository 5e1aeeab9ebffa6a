//! A document of many services: applied, edited, rolled back, and adopted by another daemon.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_client::Client;
use lb_model::Settings;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, configuration},
    processes::own_memory,
};
use nix::sys::signal::Signal;
use tokio::runtime;

use super::{Extent, Row, milliseconds, testbed, timed};
use crate::plan::Plan;

const BACKENDS: usize = 100;

/// Limits for the document only: a larger flow table would just start slowly.
pub(super) const LIMITS: &str = "limits.services = 4_096\nlimits.backends = 150_000";

/// Time for the daemon to free the memory used for reading a document.
const SETTLING: Duration = Duration::from_millis(2_500);

pub(super) fn measure(extent: &Extent) -> Result<Vec<Row>> {
    let testbed = testbed()?;
    let empty = configuration(&testbed, LIMITS);
    let file = testbed.directory().join("many.toml");
    fs::write(&file, empty.clone() + &services(&testbed, extent.services, BACKENDS))?;
    let file = file.to_str().context("a path that is text")?;
    let (mut apply, mut diff, mut rollback) = (Vec::new(), Vec::new(), Vec::new());
    let mut balancer = Balancer::start(&testbed, &empty);
    let mut memory = Vec::new();
    for _ in 0..extent.rounds.div_ceil(10) {
        Plan::check()?;
        apply.push(timed(|| balancer.done(&["apply", "-c", file])));
        sleep(SETTLING);
        memory.push(megabytes(own_memory(balancer.pid())));
        diff.push(timed(|| balancer.done(&["diff", "-c", file])));
        rollback.push(timed(|| balancer.done(&["rollback"])));
    }
    balancer.done(&["apply", "-c", file]);
    let changes = changes(balancer.socket(), backend(&testbed, 0), extent)?;
    let mut restart = Vec::new();
    for _ in 0..extent.rounds.div_ceil(10) {
        Plan::check()?;
        balancer.stop(Signal::SIGKILL);
        let begin = Instant::now();
        balancer = Balancer::start(&testbed, &empty);
        restart.push(milliseconds(begin));
    }
    Ok(vec![
        Row::new("all services x 100 backends applied, from nothing", "ms", apply),
        Row::new("a weight among them, until written, kept and answered", "ms", changes),
        Row::new("diff, nothing changed", "ms", diff),
        Row::new("rollback to nothing", "ms", rollback),
        Row::new("kill -9, start, first answer", "ms", restart),
        Row::new("memory of the daemon's own, then", "MB", memory),
    ])
}

/// Returns this many services, with this many backends each, which are not checked.
pub(super) fn services(testbed: &Testbed, count: usize, backends: usize) -> String {
    let mut text = String::new();
    for service in 0..count {
        let vip = format_args!("172.16.{}.{}:80", service / 250, service % 250 + 1);
        let head = format_args!(
            "[[service]]\nname = \"s{service}\"\nvip = \"{vip}\"\nhealth.type = \"none\"\n"
        );
        write!(text, "{head}").expect("a string takes anything");
        for nth in 0..backends {
            let address = backend(testbed, service * backends + nth);
            writeln!(text, "[[service.backend]]\naddress = \"{address}\"").expect("as above");
        }
    }
    text
}

/// Returns a backend's address: the backends of all services share the hosts, with ports of their
/// own.
fn backend(testbed: &Testbed, number: usize) -> SocketAddr {
    let hosts = testbed.backends();
    let port = u16::try_from(1_000 + number / hosts.len()).expect("that many are not asked for");
    (hosts[number % hosts.len()].address, port).into()
}

/// Measures the time of weight changes, in milliseconds. The answer comes when the maps are
/// written.
fn changes(socket: &Path, backend: SocketAddr, extent: &Extent) -> Result<Vec<f64>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(socket.to_owned());
    let weights = (1..=9).cycle().take(extent.rounds);
    let change = |weight| {
        let settings = Settings { weight: Some(weight), ..Settings::default() };
        let begin = Instant::now();
        runtime.block_on(client.set("s0", backend, &settings))?;
        anyhow::Ok(milliseconds(begin))
    };
    weights.map(change).collect()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
