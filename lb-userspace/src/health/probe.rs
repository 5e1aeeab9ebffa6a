//! A check, made ready to be carried out again and again.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use nix::errno::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};

use super::{exchange::Exchange, exec::Exec, http::Http, slots::Slots, tls::Tls};
use crate::model::{CheckRequest, HealthCheck, Probe};

/// What is wrong with a check, and in which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
    pub mend: &'static str,
    /// The key is missing.
    pub is_missing: bool,
}

impl Fault {
    pub(super) fn new(key: &'static str, message: &impl ToString) -> Self {
        Self { key, message: message.to_string(), mend: "", is_missing: false }
    }

    pub(super) fn missing(key: &'static str, message: &impl ToString) -> Self {
        Self { is_missing: true, ..Self::new(key, message) }
    }

    pub(super) fn mend(self, mend: &'static str) -> Self {
        Self { mend, ..self }
    }
}

/// A check that can be carried out.
#[derive(Debug)]
pub struct Prober {
    check: HealthCheck,
    /// Made when it is first needed, as files that it names may not be there all the time.
    kind: OnceLock<Kind>,
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

/// What a probe has found.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Nothing if the probe could not be carried out, by no fault of the backend's.
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

    fn unknown(detail: String) -> Self {
        Self { success: None, detail }
    }
}

/// A connection to a backend, whatever is between.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How far a probe has come, by the words that `HAProxy` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// The connection.
    L4,
    /// The TLS handshake.
    L6,
    /// What goes over it.
    L7,
}

/// Why a probe has failed, as in `L7STS/503`.
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

    /// Of what the system says, which may be that this host lacks something: no backend is to blame
    /// for that.
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

    /// What it means for the check, said of something.
    pub(super) fn about(self, subject: &str) -> Outcome {
        let detail = format!("{subject}: {}", self.detail);
        Self { detail, ..self }.into()
    }
}

impl From<Failure> for Outcome {
    fn from(Failure { code, detail, is_ours }: Failure) -> Self {
        let detail = format!("{code} {detail}");
        if is_ours { Self::unknown(detail) } else { Self::failed(detail) }
    }
}

impl Prober {
    #[must_use]
    pub fn new(check: HealthCheck) -> Self {
        Self { check, kind: OnceLock::new() }
    }

    /// Says what is wrong with the check, if anything is.
    pub fn verify(check: &HealthCheck) -> Result<(), Fault> {
        Kind::new(check).map(drop)
    }

    #[must_use]
    pub fn check(&self) -> &HealthCheck {
        &self.check
    }

    /// Where a backend is asked.
    #[must_use]
    pub fn asked(&self, backend: SocketAddr) -> SocketAddr {
        let request = &self.check.request;
        let address = request.address.unwrap_or(backend.ip());
        (address, request.port.unwrap_or(backend.port())).into()
    }

    /// Carries the check out once, at the address where the backend is asked.
    pub(super) async fn probe(&self, at: SocketAddr, slots: &Slots) -> Outcome {
        // What takes longer than the interval is not waited for.
        let timeout = self.check.timeout.min(self.check.interval);
        match self.kind() {
            Err(Fault { key, message, .. }) => {
                Outcome::unknown(format!("UNK cannot be checked: `{key}`: {message}"))
            }
            Ok(Kind::None) => Outcome::passed("not checked".to_owned()),
            Ok(Kind::Exec(exec)) => {
                let _slot = slots.program().await;
                Box::pin(exec.run(at, timeout)).await
            }
            Ok(kind) => {
                let _slot = slots.connection().await;
                kind.ask_in_time(at, timeout).await
            }
        }
    }

    fn kind(&self) -> Result<&Kind, Fault> {
        if let Some(kind) = self.kind.get() {
            return Ok(kind);
        }
        let made = Kind::new(&self.check)?;
        Ok(self.kind.get_or_init(|| made))
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

    async fn ask_in_time(&self, at: SocketAddr, timeout: Duration) -> Outcome {
        let begun = Instant::now();
        let mut layer = Layer::L4;
        let Ok(answer) = time::timeout(timeout, self.ask(at, &mut layer)).await else {
            return Outcome::failed(format!("{layer:?}TOUT no answer in {timeout:?}"));
        };
        match answer {
            Ok(said) => Outcome::passed(format!("{said} in {:.1?}", begun.elapsed())),
            Err(failure) => failure.into(),
        }
    }

    async fn ask(&self, at: SocketAddr, layer: &mut Layer) -> Result<String, Failure> {
        let stream = connect(at).await.map_err(|error| Failure::of("L4CON", &error))?;
        if matches!(self, Self::Tcp) {
            return Ok("L4OK connected".to_owned());
        }
        // Tens of thousands of TCP checks should not have room for what they never do.
        Box::pin(self.talk(stream, at, layer)).await
    }

    async fn talk(
        &self,
        stream: TcpStream,
        at: SocketAddr,
        layer: &mut Layer,
    ) -> Result<String, Failure> {
        match self {
            Self::None | Self::Exec(_) | Self::Tcp => Ok("L4OK connected".to_owned()),
            Self::Tls(tls) => {
                *layer = Layer::L6;
                tls.shake_hands(stream, at).await?;
                Ok("L6OK handshake".to_owned())
            }
            Self::Http(http, tls) => {
                let stream: Box<dyn Stream> = match tls {
                    Some(tls) => {
                        *layer = Layer::L6;
                        Box::new(tls.shake_hands(stream, at).await?)
                    }
                    None => Box::new(stream),
                };
                *layer = Layer::L7;
                http.ask(stream, at).await
            }
            Self::Exchange(exchange) => {
                *layer = Layer::L7;
                exchange.ask(stream).await
            }
        }
    }
}

fn verify_place(request: &CheckRequest) -> Result<(), Fault> {
    if request.port == Some(0) {
        return Err(Fault::new("port", &"port 0 is out of range").mend("give 1 to 65535"));
    }
    let is_nobody = |ip: &IpAddr| ip.is_unspecified() || ip.is_multicast();
    if let Some(address) = request.address.filter(is_nobody) {
        return Err(Fault::new("address", &format!("nobody has the address {address}"))
            .mend("give the one address that answers for the backend"));
    }
    Ok(())
}

/// The connection ends in a reset, as `TIME_WAIT` would keep a source port from the traffic.
async fn connect(at: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(at).await?;
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
