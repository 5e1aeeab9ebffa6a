//! Legitimate clients: some that are connected already, and a canary that connects for each
//! request. None tries twice.

use std::{
    net::{SocketAddrV4, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    net,
    task::JoinSet,
    time::{interval, timeout},
};

use super::Extent;
use crate::{
    Plan,
    peers::http::{fetch, fetch_once},
    statistics::Sample,
};

/// Time that a client waits for a response.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

const CANARY_PERIOD: Duration = Duration::from_millis(10);
const ESTABLISHED_PERIOD: Duration = Duration::from_millis(20);

/// Outcomes of requests.
#[derive(Default)]
pub(super) struct Fates {
    answered_us: Vec<f64>,
    pub(super) lost: usize,
}

impl Fates {
    pub(super) fn all<'a>(of: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for fates in of {
            all.answered_us.extend(&fates.answered_us);
            all.lost += fates.lost;
        }
        all
    }

    pub(super) fn requests(&self) -> usize {
        self.answered_us.len() + self.lost
    }

    /// Returns the latencies of the answered requests, if there are any.
    pub(super) fn latencies_us(&self) -> Option<Sample> {
        (!self.answered_us.is_empty()).then(|| Sample::new(self.answered_us.clone()))
    }

    fn add(&mut self, latency: Option<Duration>) {
        match latency {
            Some(latency) => self.answered_us.push(latency.as_secs_f64() * 1e6),
            None => self.lost += 1,
        }
    }
}

/// Starts a request at every tick, even if earlier ones are unanswered.
pub(super) async fn canary(target: SocketAddrV4, extent: &Extent) -> Result<Fates> {
    let mut requests = JoinSet::new();
    let mut clock = interval(CANARY_PERIOD);
    let start = Instant::now();
    while start.elapsed() < extent.whole() {
        clock.tick().await;
        Plan::check()?;
        if start.elapsed() < extent.lead {
            continue;
        }
        requests.spawn(async move {
            let start = Instant::now();
            let answer = timeout(PATIENCE, fetch_once(target)).await;
            answer.is_ok_and(|answer| answer.is_ok()).then(|| start.elapsed())
        });
    }
    let mut fates = Fates::default();
    while let Some(latency) = requests.join_next().await {
        fates.add(latency?);
    }
    Ok(fates)
}

/// Makes requests over persistent connections.
pub(super) async fn established(streams: Vec<TcpStream>, extent: &Extent) -> Result<Fates> {
    let mut connections = JoinSet::new();
    for stream in streams {
        stream.set_nonblocking(true)?;
        connections.spawn(talk(net::TcpStream::from_std(stream)?, extent.whole()));
    }
    let each: Vec<_> = connections.join_all().await;
    Ok(Fates::all(each.iter()))
}

/// Counts all remaining requests of a connection as lost once one is.
async fn talk(mut stream: net::TcpStream, duration: Duration) -> Fates {
    let mut fates = Fates::default();
    let mut clock = interval(ESTABLISHED_PERIOD);
    let mut alive = true;
    let start = Instant::now();
    while start.elapsed() < duration {
        clock.tick().await;
        let asked = Instant::now();
        alive = alive && matches!(timeout(PATIENCE, fetch(&mut stream)).await, Ok(Ok(())));
        fates.add(alive.then(|| asked.elapsed()));
    }
    fates
}
