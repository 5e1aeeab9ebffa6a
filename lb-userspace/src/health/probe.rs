//! A check, prepared for repeated execution.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::errno::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex as Turn,
    task::spawn_blocking,
    time,
};

use super::{
    exchange::Exchange,
    exec::Exec,
    files::{self, Stamp},
    heard::Heard,
    http::Http,
    slots::Slots,
    tls::{self, Tls},
};
use crate::model::{CheckRequest, Close, HealthCheck, Probe};

/// An error in a check, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
    pub fix: &'static str,
    /// Set if the key is missing.
    pub is_missing: bool,
}

impl Fault {
    pub(super) fn new(key: &'static str, message: &impl ToString) -> Self {
        Self { key, message: message.to_string(), fix: "", is_missing: false }
    }

    pub(super) fn missing(key: &'static str, message: &impl ToString) -> Self {
        Self { is_missing: true, ..Self::new(key, message) }
    }

    pub(super) fn fix(self, fix: &'static str) -> Self {
        Self { fix, ..self }
    }
}

/// A check that can be executed.
#[derive(Debug)]
pub struct Prober {
    check: HealthCheck,
    /// User that programs run as.
    user: Arc<str>,
    /// Created on first use, and again when its files have changed.
    readiness: Mutex<Readiness>,
    /// Serializes reading the files.
    turn: Arc<Turn<()>>,
}

#[derive(Debug)]
enum Kind {
    None,
    Tcp,
    Tls(Tls),
    Http(Http, Option<Tls>),
    Exchange(Exchange),
    Exec(Exec),
}

/// Result of a probe.
#[derive(Debug)]
pub(super) struct Outcome {
    /// None if the probe could not be carried out, through no fault of the backend.
    pub(super) success: Option<bool>,
    pub(super) detail: String,
}

impl Outcome {
    pub(super) fn passed(detail: String) -> Self {
        Self { success: Some(true), detail }
    }

    pub(super) fn failed(detail: String) -> Self {
        Self { success: Some(false), detail }
    }

    pub(super) fn unknown(detail: String) -> Self {
        Self { success: None, detail }
    }
}

/// A connection to a backend, plain or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Protocol layer that a probe has reached, in the terms of `HAProxy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// The connection.
    L4,
    /// The TLS handshake.
    L6,
    /// The application protocol.
    L7,
}

/// Progress of a probe.
#[derive(Debug)]
struct Progress {
    layer: Layer,
    /// Received during the TLS handshake.
    handshake: Heard,
    heard: Heard,
    /// Received of an HTTP body.
    body: Heard,
}

impl Progress {
    fn start() -> Self {
        let [handshake, heard, body] = std::array::from_fn(|_| Heard::default());
        Self { layer: Layer::L4, handshake, heard, body }
    }

    /// Returns the outcome of a probe that timed out at this point.
    fn timed_out(&self, timeout: Duration) -> Outcome {
        let Self { layer, handshake, heard, body } = self;
        let (what, got) = if !body.is_nothing() {
            ("body", body)
        } else if !heard.is_nothing() {
            ("answer", heard)
        } else if *layer == Layer::L6 && !handshake.is_nothing() {
            ("handshake", handshake)
        } else {
            return Outcome::failed(format!("{layer:?}TOUT no answer in {timeout:?}"));
        };
        let wanted = if what == "handshake" { "no end" } else { "no match and no end" };
        Outcome::failed(format!("{layer:?}RSP {wanted} in {timeout:?} of the {what}: got {got}"))
    }
}

/// Reason of a failed probe, with a code like `L7STS/503`.
#[derive(Debug)]
pub(super) struct Failure {
    code: String,
    detail: String,
    is_ours: bool,
}

impl Failure {
    pub(super) fn new(code: impl Into<String>, detail: &impl ToString) -> Self {
        Self { code: code.into(), detail: detail.to_string(), is_ours: false }
    }

    /// Converts a system error. If this host lacks resources, the backend is not to blame.
    pub(super) fn of(code: &str, error: &io::Error) -> Self {
        let is_ours = error.raw_os_error().is_some_and(|number| {
            matches!(
                Errno::from_raw(number),
                Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ENOMEM
                    | Errno::ENOBUFS
                    | Errno::EAGAIN
                    | Errno::EADDRNOTAVAIL
            )
        });
        let code = if is_ours { "SOCKERR" } else { code };
        Self { is_ours, ..Self::new(code, error) }
    }
}

/// Returns the failure for a server that speaks another protocol or sends nothing.
pub(super) fn not(protocol: &str, code: &str, heard: &Heard) -> Failure {
    if heard.is_nothing() {
        return Failure::new(code, &"the server closed the connection without an answer");
    }
    let guess = if heard.begins_with(b"HTTP/") {
        " (plain HTTP?)"
    } else if tls::RECORDS.iter().any(|record| heard.begins_with(record)) {
        " (TLS?)"
    } else {
        ""
    };
    Failure::new(code, &format!("not {protocol}{guess}: got {heard}"))
}

impl From<Failure> for Outcome {
    fn from(Failure { code, detail, is_ours }: Failure) -> Self {
        let detail = format!("{code} {detail}");
        if is_ours { Self::unknown(detail) } else { Self::failed(detail) }
    }
}

/// Interval of checks for changed files.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// A prepared check, and the stamps of its files.
#[derive(Debug)]
struct Ready {
    kind: Arc<Kind>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// State of a check's preparation.
#[derive(Debug, Default)]
struct Readiness {
    ready: Option<Ready>,
    /// Last error of its files, already logged.
    fault: Option<Fault>,
}

impl Prober {
    /// Creates a prober whose programs run as this user.
    #[must_use]
    pub fn new(check: HealthCheck, user: Arc<str>) -> Self {
        Self { check, user, readiness: Mutex::default(), turn: Arc::default() }
    }

    /// Validates a check, without reading its files.
    pub fn verify(check: &HealthCheck) -> Result<(), Fault> {
        let request = &check.request;
        verify_place(request)?;
        match check.probe {
            Probe::None | Probe::Tcp => Ok(()),
            Probe::Tls => tls::verify(request).map(drop),
            Probe::Http => Http::new(request).map(drop),
            Probe::Https => Http::new(request).and_then(|_| tls::verify(request).map(drop)),
            Probe::SendExpect => Exchange::new(request).map(drop),
            Probe::Exec => Exec::new(request).map(drop),
        }
    }

    /// Validates a check and its files.
    pub fn verify_files(check: &HealthCheck) -> Result<(), Fault> {
        Kind::new(check).map(drop)
    }

    /// Returns true if a check needs files or a program; these include the host's CA certificates.
    #[must_use]
    pub fn reads_files(check: &HealthCheck) -> bool {
        matches!(check.probe, Probe::Tls | Probe::Https | Probe::Exec)
    }

    #[must_use]
    pub fn check(&self) -> &HealthCheck {
        &self.check
    }

    /// Returns the address and port to probe for a backend.
    #[must_use]
    pub fn asked(&self, backend: SocketAddr) -> SocketAddr {
        let request = &self.check.request;
        let address = request.address.unwrap_or(backend.ip());
        (address, request.port.unwrap_or(backend.port())).into()
    }

    /// Runs the check once, at the address to probe.
    pub(super) async fn probe(self: &Arc<Self>, at: SocketAddr, slots: &Slots) -> Outcome {
        // The timeout is limited to the interval.
        let timeout = self.check.timeout.min(self.check.interval);
        let kind = match self.ready(slots, timeout).await {
            Ok(kind) => kind,
            // Users who may see the state of checks may not learn which files exist.
            Err(Fault { key, .. }) => {
                return Outcome::unknown(format!(
                    "UNK cannot be checked: `{key}` cannot be used; the daemon's log says why"
                ));
            }
        };
        match &*kind {
            Kind::None => Outcome::passed("not checked".to_owned()),
            Kind::Exec(exec) => {
                let _slot = slots.program().await;
                Box::pin(exec.run(at, timeout, &self.user)).await
            }
            kind => {
                let _slot = slots.connection().await;
                let close = self.check.request.close.unwrap_or_default();
                kind.ask_in_time(at, close, timeout).await
            }
        }
    }

    /// Returns the prepared check. A blocking thread reads its files; if that takes longer than a
    /// check may take, the former ones are used.
    async fn ready(
        self: &Arc<Self>,
        slots: &Slots,
        patience: Duration,
    ) -> Result<Arc<Kind>, Fault> {
        if let Some(ready) = self.fresh() {
            return Ok(ready);
        }
        if !Self::reads_files(&self.check) {
            return self.read();
        }
        let read = time::timeout(patience, self.read_beside(slots)).await;
        read.unwrap_or_else(|_| {
            let message = format!("its files could not be read within {patience:?}");
            self.former(Fault::new(files::first_key(&self.check.request), &message))
        })
    }

    /// Runs [`Self::read`] on a blocking thread, one at a time.
    async fn read_beside(self: &Arc<Self>, slots: &Slots) -> Result<Arc<Kind>, Fault> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if let Some(ready) = self.fresh() {
            return Ok(ready);
        }
        let (prober, slot) = (Arc::clone(self), slots.reader().await);
        let reading = spawn_blocking(move || {
            // Held while the thread is busy, even if nobody waits for it any more.
            let _held = (turn, slot);
            prober.read()
        });
        reading.await.unwrap_or_else(|error| {
            self.former(Fault::new(files::first_key(&self.check.request), &error))
        })
    }

    /// Returns the prepared check if its files need not be read again yet.
    fn fresh(&self) -> Option<Arc<Kind>> {
        let readiness = self.readiness();
        let ready = readiness.ready.as_ref()?;
        let is_fresh = ready.stamps.is_empty() || ready.looked.elapsed() < LOOK;
        is_fresh.then(|| Arc::clone(&ready.kind))
    }

    /// Prepares the check from the current files. New files that cannot be used are ignored: they
    /// may be partly replaced.
    fn read(&self) -> Result<Arc<Kind>, Fault> {
        let (stamps, looked) = (files::stamps(&self.check.request), Instant::now());
        if let Some(ready) = self.readiness().ready.as_mut().filter(|one| one.stamps == stamps) {
            ready.looked = looked;
            return Ok(Arc::clone(&ready.kind));
        }
        match Kind::new(&self.check) {
            Ok(kind) => {
                let kind = Arc::new(kind);
                let ready = Some(Ready { kind: Arc::clone(&kind), stamps, looked });
                *self.readiness() = Readiness { ready, fault: None };
                Ok(kind)
            }
            Err(fault) => self.former(fault),
        }
    }

    /// Logs an error of the files once. Continues with the former ones, if any.
    fn former(&self, fault: Fault) -> Result<Arc<Kind>, Fault> {
        let mut readiness = self.readiness();
        if readiness.fault.as_ref() != Some(&fault) {
            let Fault { key, message, fix, .. } = &fault;
            let fix = if fix.is_empty() { String::new() } else { format!(": {fix}") };
            log::warn!("a check's `{key}` cannot be used: {message}{fix}");
            readiness.fault = Some(fault.clone());
        }
        let former = readiness.ready.as_mut().ok_or(fault)?;
        former.looked = Instant::now();
        Ok(Arc::clone(&former.kind))
    }

    /// Locks the readiness. Never held while files are read.
    fn readiness(&self) -> MutexGuard<'_, Readiness> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn new(check: &HealthCheck) -> Result<Self, Fault> {
        let request = &check.request;
        verify_place(request)?;
        Ok(match check.probe {
            Probe::None => Self::None,
            Probe::Tcp => Self::Tcp,
            Probe::Tls => Self::Tls(Tls::new(request)?),
            Probe::Http => Self::Http(Http::new(request)?, None),
            Probe::Https => Self::Http(Http::new(request)?, Some(Tls::new(request)?)),
            Probe::SendExpect => Self::Exchange(Exchange::new(request)?),
            Probe::Exec => Self::Exec(Exec::new(request)?),
        })
    }

    async fn ask_in_time(&self, at: SocketAddr, close: Close, timeout: Duration) -> Outcome {
        let begun = Instant::now();
        let mut progress = Progress::start();
        let Ok(answer) = time::timeout(timeout, self.ask(at, close, &mut progress)).await else {
            return progress.timed_out(timeout);
        };
        match answer {
            Ok(said) => Outcome::passed(format!("{said} in {:.1?}", begun.elapsed())),
            Err(failure) => failure.into(),
        }
    }

    async fn ask(
        &self,
        at: SocketAddr,
        close: Close,
        progress: &mut Progress,
    ) -> Result<String, Failure> {
        let stream = connect(at, close).await.map_err(|error| Failure::of("L4CON", &error))?;
        if matches!(self, Self::Tcp) {
            return Ok("L4OK connected".to_owned());
        }
        // Boxed, so that tens of thousands of TCP checks do not reserve memory for this.
        Box::pin(self.talk(stream, at, progress)).await
    }

    async fn talk(
        &self,
        stream: TcpStream,
        at: SocketAddr,
        progress: &mut Progress,
    ) -> Result<String, Failure> {
        let layer = &mut progress.layer;
        match self {
            Self::None | Self::Exec(_) | Self::Tcp => Ok("L4OK connected".to_owned()),
            Self::Tls(tls) => {
                *layer = Layer::L6;
                tls.shake_hands(stream, at, &progress.handshake).await?;
                Ok("L6OK handshake".to_owned())
            }
            Self::Http(http, tls) => {
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => {
                        *layer = Layer::L6;
                        Box::new(tls.shake_hands(stream, at, &progress.handshake).await?)
                    }
                    None => Box::new(stream),
                };
                *layer = Layer::L7;
                http.ask(stream, at, &progress.heard, &progress.body).await
            }
            Self::Exchange(exchange) => {
                *layer = Layer::L7;
                exchange.ask(stream, &progress.heard).await
            }
        }
    }
}

fn verify_place(request: &CheckRequest) -> Result<(), Fault> {
    if request.port == Some(0) {
        return Err(Fault::new("port", &"port 0 is out of range").fix("give 1 to 65535"));
    }
    let is_nobody = |ip: &IpAddr| ip.is_unspecified() || ip.is_multicast();
    if let Some(address) = request.address.filter(is_nobody) {
        return Err(Fault::new("address", &format!("nobody has the address {address}"))
            .fix("give the one address that answers for the backend"));
    }
    Ok(())
}

/// Connects. By default, the connection is closed by a reset, as `TIME_WAIT` would keep a source
/// port from the traffic.
async fn connect(at: SocketAddr, close: Close) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at).await?;
    if close == Close::Reset {
        stream.set_zero_linger()?;
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
