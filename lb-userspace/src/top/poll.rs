//! Readings of the daemon, made in the background, one at a time.

use std::time::{Duration, Instant};

use lb_client::{Client, ClientError};
use lb_model::{
    connections::{Connection, Filter},
    views::{ServiceStats, ServiceView, Stats, Status},
};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// Time for the daemon to answer all requests of a reading.
const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon's state at about one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    pub(super) at: Instant,
    pub(super) status: Status,
    pub(super) services: Vec<ServiceView>,
    pub(super) stats: Stats,
    pub(super) connections: Option<Connections>,
}

/// Connections that match a filter.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) filter: Filter,
    pub(super) list: Vec<Connection>,
}

impl Reading {
    /// Makes the first reading.
    pub async fn first(client: &Client) -> Result<Self, ClientError> {
        Self::make(client, None).await
    }

    /// Returns the counters of a service that is not removed.
    pub(super) fn counters(&self, service: &str) -> Option<&ServiceStats> {
        self.stats.services.iter().find(|one| one.name == service && !one.removed)
    }

    async fn make(client: &Client, filter: Option<&Filter>) -> Result<Self, ClientError> {
        let connections = match filter {
            Some(filter) => {
                Some(Connections { filter: filter.clone(), list: list(client, filter).await? })
            }
            None => None,
        };
        Ok(Self {
            status: client.status().await?,
            services: client.services().await?,
            stats: client.stats().await?,
            at: Instant::now(),
            connections,
        })
    }
}

async fn list(client: &Client, filter: &Filter) -> Result<Vec<Connection>, ClientError> {
    let mut lines = client.connections(filter).await?;
    let mut list = Vec::new();
    while let Some(some) = lines.next().await? {
        list.extend::<Vec<_>>(some);
    }
    Ok(list)
}

/// What to read, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) interval: Duration,
    pub(super) is_paused: bool,
    /// Connections to list.
    pub(super) connections: Option<Filter>,
}

/// Makes readings until it is dropped.
pub(super) struct Poller {
    wanted: watch::Sender<Wanted>,
    readings: mpsc::Receiver<Result<Reading, String>>,
}

impl Poller {
    pub(super) fn start(client: Client, wanted: Wanted) -> Self {
        let (sender, receiver) = watch::channel(wanted);
        let (give, readings) = mpsc::channel(1);
        tokio::spawn(poll(client, receiver, give));
        Self { wanted: sender, readings }
    }

    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|known| {
            let differs = *known != wanted;
            *known = wanted;
            differs
        });
    }

    /// Returns the next reading, or why there is none.
    pub(super) async fn next(&mut self) -> Result<Reading, String> {
        let reading = self.readings.recv().await;
        reading.unwrap_or_else(|| Err("no more readings are made".to_owned()))
    }
}

async fn poll(
    client: Client,
    mut wanted: watch::Receiver<Wanted>,
    give: mpsc::Sender<Result<Reading, String>>,
) {
    let mut listed = None;
    loop {
        let Wanted { interval, is_paused, connections } = wanted.borrow_and_update().clone();
        let is_new = listed != connections;
        if (!is_paused && !is_new) || connections.is_some() && is_new {
            let making = timeout(PATIENCE, Reading::make(&client, connections.as_ref())).await;
            let reading = match making {
                Ok(reading) => reading.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
            };
            if give.send(reading).await.is_err() {
                return;
            }
        }
        listed = connections;
        tokio::select! {
            () = sleep(interval), if !is_paused => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}
