//! Requests at a fixed rate, so that their costs can be compared.

use std::{
    net::SocketAddrV4,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::testbed::Namespace;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{interval, timeout},
};

use super::{
    cpu::Usage,
    http::{fetch, fetch_once},
    iperf::{self, Transfer},
};

/// Maximum number of concurrent requests: a candidate that needs more is too slow for the rate.
const UNDER_WAY: usize = 256;
/// Connections of the keep-alive load.
const CONNECTIONS: u32 = 32;
const PATIENCE: Duration = Duration::from_secs(5);

/// Outcomes of requests.
#[derive(Default)]
struct Count {
    done: u32,
    failed: u32,
}

impl Count {
    fn add(&mut self, request: &Result<()>) {
        match request {
            Ok(()) => self.done += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// Measures whole-machine CPU microseconds per request at a rate.
pub(super) fn cpu_us_per_request(
    client: &Namespace,
    target: SocketAddrV4,
    (rate, keep_alive): (u32, bool),
    duration: Duration,
) -> Result<f64> {
    client.run_async(async || {
        let before = Usage::now()?;
        let Count { done, failed } = if keep_alive {
            over_connections(target, rate, duration).await?
        } else {
            new_connections(target, rate, duration).await?
        };
        let busy = before.busy_since()?;
        let expected = f64::from(rate) * duration.as_secs_f64();
        ensure!(f64::from(done) > 0.9 * expected, "only {done} of {expected} requests were done");
        ensure!(failed * 1_000 <= done, "{failed} of {expected} requests failed");
        Ok(busy.as_secs_f64() * 1e6 / f64::from(done))
    })?
}

/// Measures whole-machine CPU microseconds per megabyte at a rate in bits per second.
pub(super) fn cpu_us_per_megabyte(
    client: &Namespace,
    target: SocketAddrV4,
    rate: u32,
    duration: Duration,
) -> Result<f64> {
    let before = Usage::now()?;
    let Transfer { bytes, bits_per_second } = iperf::send(client, target, duration, Some(rate))?;
    let busy = before.busy_since()?;
    ensure!(bits_per_second > 0.9 * f64::from(rate), "only {bits_per_second:.0} bits/s arrived");
    Ok(busy.as_secs_f64() * 1e12 / bytes)
}

/// Opens connections at a rate, with one request each.
async fn new_connections(target: SocketAddrV4, rate: u32, duration: Duration) -> Result<Count> {
    let slots = Arc::new(Semaphore::new(UNDER_WAY));
    let mut requests = JoinSet::new();
    let mut clock = interval(Duration::from_secs(1) / rate);
    let mut count = Count::default();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        clock.tick().await;
        let slot = Arc::clone(&slots).acquire_owned().await?;
        requests.spawn(async move {
            let result = timeout(PATIENCE, fetch_once(target)).await;
            drop(slot);
            result.context("no answer in time")?
        });
        while let Some(request) = requests.try_join_next() {
            count.add(&request?);
        }
    }
    while let Some(request) = requests.join_next().await {
        count.add(&request?);
    }
    Ok(count)
}

/// Makes requests at a rate over persistent connections.
async fn over_connections(target: SocketAddrV4, rate: u32, duration: Duration) -> Result<Count> {
    let period = Duration::from_secs(1) * CONNECTIONS / rate;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(fetch_often(target, period, duration));
    }
    let mut done = 0;
    while let Some(requests) = connections.join_next().await {
        done += requests??;
    }
    Ok(Count { done, failed: 0 })
}

async fn fetch_often(target: SocketAddrV4, period: Duration, duration: Duration) -> Result<u32> {
    let mut stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let mut clock = interval(period);
    let mut done = 0;
    let end = Instant::now() + duration;
    while Instant::now() < end {
        clock.tick().await;
        timeout(PATIENCE, fetch(&mut stream)).await??;
        done += 1;
    }
    Ok(done)
}
