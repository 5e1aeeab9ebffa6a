//! The kinds of probes, each over a connection of its own.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use lb_model::{CheckRequest, Close, HealthCheck, Probe};
use tokio::{net::TcpStream, time};

use super::{
    exchange::Exchange,
    exec::Exec,
    fault::Fault,
    heard::Heard,
    http::{Http, Stream},
    outcome::{Failure, Outcome},
    tls::{self, Tls},
};

#[derive(Debug)]
pub(super) enum Kind {
    None,
    Tcp,
    Tls(Tls),
    Http(Http, Option<Tls>),
    Exchange(Exchange),
    Exec(Exec),
}

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
        let missing = if what == "handshake" { "" } else { ", no match yet" };
        Outcome::failed(format!(
            "{layer:?}RSP {what} incomplete after {timeout:?}{missing}: got {got}"
        ))
    }
}

impl Kind {
    pub(super) fn new(check: &HealthCheck) -> Result<Self, Fault> {
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

    /// Validates a check, without reading its files.
    pub(super) fn verify(check: &HealthCheck) -> Result<(), Fault> {
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

    pub(super) async fn ask_in_time(
        &self,
        at: SocketAddr,
        close: Close,
        timeout: Duration,
    ) -> Outcome {
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
        return Err(Fault::new("address", &format!("{address} cannot be a host's address"))
            .fix("give the address to check in place of the backend's"));
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
