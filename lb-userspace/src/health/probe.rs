//! A check, made ready to be carried out again and again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};

use super::{Outcome, exchange::Exchange, exec::Exec, http::Http, tls::Tls};
use crate::model::{HealthCheck, Probe};

/// What is wrong with a check, and in which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: &'static str,
    pub message: String,
}

impl Fault {
    pub(super) fn new(key: &'static str, message: &impl ToString) -> Self {
        Self { key, message: message.to_string() }
    }
}

/// A check that can be carried out.
#[derive(Debug)]
pub struct Prober {
    kind: Kind,
    timeout: Duration,
    check: HealthCheck,
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

/// A connection to a backend, whatever is between.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// How far a probe has come, by the words that `HAProxy` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
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
    pub(super) code: String,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(code: impl Into<String>, detail: &impl ToString) -> Self {
        Self { code: code.into(), detail: detail.to_string() }
    }
}

impl Prober {
    pub fn new(check: &HealthCheck) -> Result<Self, Fault> {
        let request = &check.request;
        let kind = match check.probe {
            Probe::None => Kind::None,
            Probe::Tcp => Kind::Tcp,
            Probe::Tls => Kind::Tls(Tls::new(request)?),
            Probe::Http => Kind::Http(Http::new(request)?, None),
            Probe::Https => Kind::Http(Http::new(request)?, Some(Tls::new(request)?)),
            Probe::SendExpect => Kind::Exchange(Exchange::new(request)?),
            Probe::Exec => Kind::Exec(Exec::new(request)?),
        };
        Ok(Self { kind, timeout: check.timeout, check: check.clone() })
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
    pub(super) async fn probe(&self, at: SocketAddr) -> Outcome {
        let begun = Instant::now();
        if let Kind::Exec(exec) = &self.kind {
            return exec.run(at, self.timeout).await;
        }
        let mut layer = Layer::L4;
        let answered = time::timeout(self.timeout, self.ask(at, &mut layer)).await;
        let late = |_| {
            let code = format!("{layer:?}TOUT");
            Err(Failure::new(code, &format!("no answer in {:?}", self.timeout)))
        };
        let result = answered.unwrap_or_else(late);
        match result {
            Ok(said) => {
                let detail = format!("{said} in {:.1?}", begun.elapsed());
                Outcome { success: true, detail }
            }
            Err(Failure { code, detail }) => {
                Outcome { success: false, detail: format!("{code} {detail}") }
            }
        }
    }

    async fn ask(&self, at: SocketAddr, layer: &mut Layer) -> Result<String, Failure> {
        if matches!(self.kind, Kind::None) {
            return Ok("not checked".to_owned());
        }
        let stream = connect(at).await?;
        match &self.kind {
            Kind::None | Kind::Exec(_) | Kind::Tcp => Ok("L4OK connected".to_owned()),
            Kind::Tls(tls) => {
                *layer = Layer::L6;
                tls.shake_hands(stream, at).await?;
                Ok("L6OK handshake".to_owned())
            }
            Kind::Http(http, tls) => {
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
            Kind::Exchange(exchange) => {
                *layer = Layer::L7;
                exchange.ask(stream).await
            }
        }
    }
}

/// The connection ends in a reset, as `TIME_WAIT` would keep a source port from the traffic.
async fn connect(at: SocketAddr) -> Result<TcpStream, Failure> {
    let connected = async {
        let stream = TcpStream::connect(at).await?;
        stream.set_zero_linger()?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    connected.await.map_err(|error| Failure::new("L4CON", &error))
}
