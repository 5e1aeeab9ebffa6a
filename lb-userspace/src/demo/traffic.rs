//! The demo's client: requests all the time, each on a connection of its own.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1::handshake, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::responder::BACKEND_HEADER;
use crate::bed::Namespace;

/// Requests under way at any time.
const CLIENTS: usize = 8;

/// Between two requests of one client.
const PAUSE: Duration = Duration::from_millis(2);

/// How long a request may take.
const LONGEST: Duration = Duration::from_secs(1);

/// What the client has met while one thing was the case.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) per_backend: BTreeMap<String, u64>,
    pub(super) failed: u64,
}

#[derive(Debug)]
pub(super) struct Tally {
    phases: Mutex<Vec<Phase>>,
    stopped: AtomicBool,
}

impl Default for Tally {
    fn default() -> Self {
        let first = Phase { name: "all servers up".to_owned(), ..Phase::default() };
        Self { phases: Mutex::new(vec![first]), stopped: AtomicBool::new(false) }
    }
}

impl Tally {
    pub(super) fn next_phase(&self, name: String) {
        self.with(|phases| phases.push(Phase { name, ..Phase::default() }));
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn into_phases(self) -> Vec<Phase> {
        self.phases.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, answered_by: Result<String>) {
        self.with(|phases| {
            let Some(phase) = phases.last_mut() else { return };
            match answered_by {
                Ok(backend) => *phase.per_backend.entry(backend).or_default() += 1,
                Err(_) => phase.failed += 1,
            }
        });
    }

    fn with(&self, work: impl FnOnce(&mut Vec<Phase>)) {
        work(&mut self.phases.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sends requests from a namespace until the tally is stopped.
pub(super) fn send(client: &Namespace, vip: SocketAddr, tally: &Tally) -> Result<()> {
    client.run_async(async || {
        let clients = (0..CLIENTS).map(|_| async {
            while !tally.stopped.load(Ordering::Relaxed) {
                let answer = timeout(LONGEST, request(vip)).await;
                tally.count(answer.unwrap_or_else(|late| Err(late.into())));
                sleep(PAUSE).await;
            }
        });
        futures_util::future::join_all(clients).await;
    })
}

/// Who has answered.
async fn request(vip: SocketAddr) -> Result<String> {
    let stream = TcpStream::connect(vip).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/").header(HOST, "demo").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let backend = answer.headers().get(BACKEND_HEADER).context("a strange answer")?;
    let backend = backend.to_str()?.to_owned();
    answer.into_body().collect().await?;
    drop(sender);
    connection.await??;
    Ok(backend)
}
