//! Client of the demo: continuous requests, each on its own connection.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
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
use lb_testbed::Namespace;

/// Concurrent requests.
const CLIENTS: usize = 8;

/// Pause between two requests of one client.
const PAUSE: Duration = Duration::from_millis(2);

/// Connect timeout: long enough for SYN retransmissions after one and after three seconds.
const CONNECTING: Duration = Duration::from_secs(5);

/// Timeout of a request after the connection is established.
const ANSWERING: Duration = Duration::from_secs(1);

/// Connect time that indicates a SYN retransmission.
const WAITED: Duration = Duration::from_millis(900);

/// Results of the requests in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase {
    pub(super) name: String,
    pub(super) per_backend: BTreeMap<String, u64>,
    /// Requests without a connection, by reason.
    pub(super) failures: BTreeMap<String, u64>,
    /// Requests whose server had accepted the connection before it was killed.
    pub(super) taken: u64,
    /// Requests that were connected only after a SYN retransmission.
    pub(super) waited: u64,
}

/// Outcome of a request.
#[derive(Debug)]
struct Outcome {
    waited: bool,
    end: End,
}

#[derive(Debug)]
enum End {
    /// Answered by this backend (`ADDR:PORT`).
    Answered(String),
    /// Connected, and then reset or not answered.
    Taken,
    /// Not connected, with the reason.
    Failed(String),
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

    fn count(&self, outcome: Outcome) {
        self.with(|phases| {
            let Some(phase) = phases.last_mut() else { return };
            phase.waited += u64::from(outcome.waited);
            match outcome.end {
                End::Answered(backend) => *phase.per_backend.entry(backend).or_default() += 1,
                End::Taken => phase.taken += 1,
                End::Failed(why) => *phase.failures.entry(why).or_default() += 1,
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
                tally.count(request(vip, CONNECTING, ANSWERING).await);
                sleep(PAUSE).await;
            }
        });
        futures_util::future::join_all(clients).await;
    })
}

async fn request(vip: SocketAddr, connecting: Duration, answering: Duration) -> Outcome {
    let begun = Instant::now();
    let connected = timeout(connecting, TcpStream::connect(vip)).await;
    let stream = match connected.map_err(io::Error::from).flatten() {
        Ok(stream) => stream,
        Err(error) => return Outcome { waited: false, end: unconnected(&error, begun.elapsed()) },
    };
    let waited = begun.elapsed() >= WAITED;
    let end = match timeout(answering, ask(stream)).await {
        Ok(Ok(backend)) => End::Answered(backend),
        Ok(Err(_)) | Err(_) => End::Taken,
    };
    Outcome { waited, end }
}

/// Classifies a failed connect. Linux reports a reset before the server's SYN as refused
/// (`tcp_reset()`); any other reset came after it, before the client was woken up.
fn unconnected(error: &io::Error, after: Duration) -> End {
    if error.kind() == io::ErrorKind::ConnectionReset {
        return End::Taken;
    }
    End::Failed(format!("{error} after {} s", after.as_secs()))
}

/// Sends a request and returns the backend that answered.
async fn ask(stream: TcpStream) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn who_cannot_connect_has_failed() {
        let (listener, address) = listener().await;
        drop(listener);
        let outcome = request(address, SOON, SOON).await;
        assert!(matches!(outcome, Outcome { waited: false, end: End::Failed(_) }), "{outcome:?}");
    }

    #[test]
    fn who_was_connected_and_reset_at_once_was_taken() {
        let end = |errno| unconnected(&io::Error::from_raw_os_error(errno), SOON);
        assert!(matches!(end(libc::ECONNRESET), End::Taken));
        for errno in [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH] {
            assert!(matches!(end(errno), End::Failed(why) if why.contains("after 10 s")));
        }
    }

    #[tokio::test]
    async fn who_is_connected_and_not_answered_was_taken() {
        let (listener, address) = listener().await;
        let server = tokio::spawn(async move { drop(listener.accept().await) });
        let outcome = request(address, SOON, SOON).await;
        assert!(matches!(outcome.end, End::Taken), "closed: {outcome:?}");
        server.await.unwrap();
        let (_silent, address) = self::listener().await;
        let outcome = request(address, SOON, Duration::from_millis(50)).await;
        assert!(matches!(outcome.end, End::Taken), "silent: {outcome:?}");
    }

    #[tokio::test]
    async fn who_is_answered_counts_for_the_backend() {
        let (listener, address) = listener().await;
        drop(listener);
        let server = tokio::spawn(super::super::responder::serve("blue", address));
        let answered = async {
            loop {
                let outcome = request(address, SOON, SOON).await;
                if let End::Answered(backend) = outcome.end {
                    return backend;
                }
                sleep(PAUSE).await;
            }
        };
        let backend = timeout(SOON, answered).await.expect("an answer");
        assert_eq!(backend, address.to_string());
        server.abort();
    }

    #[test]
    fn each_end_has_its_own_count() {
        let tally = Tally::default();
        let ends =
            [End::Failed("refused".to_owned()), End::Taken, End::Answered("blue".to_owned())];
        for end in ends {
            tally.count(Outcome { waited: matches!(end, End::Answered(_)), end });
        }
        let [phase] = &tally.into_phases()[..] else { panic!("one phase") };
        assert_eq!((phase.failures["refused"], phase.taken, phase.waited), (1, 1, 1));
        assert_eq!(phase.per_backend["blue"], 1);
    }
}
