//! Server side of connections, over a unix socket or TCP, with limits on their number and cost.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, StatusCode, header::CONNECTION},
    response::{IntoResponse as _, Response},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use nix::sys::resource::{Resource, getrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    Failed,
    guests::{Guest, Seat, Seats},
    intake::Intake,
    peer::Peer,
    problem::{MEDIA_TYPE, SOON},
    watched::Watched,
};

/// Maximum number of concurrent connections.
const CONNECTIONS: u64 = 256;

/// Minimum number of concurrent connections.
const FEWEST: u64 = 4;

/// Timeout for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// Maximum size of the head of a request in bytes.
const LARGEST_HEAD: usize = 64 << 10;

/// Timeout of a client that neither sends nor receives.
const IDLE: Duration = Duration::from_secs(30);

/// Timeout of a client over TCP that acknowledges nothing, such as one without power.
const LOST: Duration = Duration::from_secs(20);

/// Delay between attempts to get a seat or a file descriptor.
const PAUSE: Duration = Duration::from_millis(10);

/// A listening socket.
pub(crate) trait Door: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;

    /// Sends what fits without waiting, as the client may have disconnected.
    fn send_now(stream: &Self::Stream, bytes: &[u8]);
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept().await?;
        let peer = Peer::of(&stream);
        Ok((stream, peer))
    }

    fn send_now(stream: &UnixStream, bytes: &[u8]) {
        stream.try_write(bytes).ok();
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, _) = self.accept().await?;
        if let Err(error) = watch(&stream) {
            log::debug!("the client has left: {error}");
        }
        Ok((stream, Peer::UNKNOWN))
    }

    fn send_now(stream: &TcpStream, bytes: &[u8]) {
        stream.try_write(bytes).ok();
    }
}

/// Sends without delay, and notices a client that vanishes.
fn watch(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(LOST))?;
    let probes = TcpKeepalive::new().with_time(LOST / 2).with_interval(LOST / 4);
    socket.set_tcp_keepalive(&probes)
}

/// State shared by all connections.
#[derive(Clone, Debug)]
struct Server {
    router: TowerToHyperService<Router>,
    intake: Intake,
}

/// Accepts connections until cancelled.
pub(crate) async fn serve<D: Door>(socket: &D, router: Router, intake: Intake) -> Infallible {
    let server = Server { router: TowerToHyperService::new(router), intake };
    let seats = Seats::new(connections(), Duration::ZERO);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let guest = Guest::new(peer.uid());
                    match seat(&seats, &guest).await {
                        Some(seat) => {
                            connections.spawn(server.clone().attend(stream, peer, guest, seat));
                        }
                        None => send_away::<D>(&stream),
                    }
                }
                Err(error) => refused(&error, &seats).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Returns a quarter of the limit of open files: checks and others need the rest.
fn connections() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(CONNECTIONS, |(soft, _)| soft);
    usize::try_from((files / 4).clamp(FEWEST, CONNECTIONS)).unwrap_or(usize::MAX)
}

/// Returns a seat. Root waits until one is free; other users do not, as all later clients would
/// have to wait as well.
async fn seat(seats: &Arc<Seats>, guest: &Arc<Guest>) -> Option<Seat> {
    loop {
        match seats.take(guest) {
            None if guest.is_root() => sleep(PAUSE).await,
            seat => return seat,
        }
    }
}

/// Answers that no seat is free.
fn send_away<D: Door>(stream: &D::Stream) {
    let Failed(problem) = Failed::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "the daemon is busy with too many other requests, of this user or of others: try again",
    );
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\n\
         retry-after: {SOON}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    D::send_now(stream, answer.as_bytes());
}

/// Disconnects the longest idle client if no file descriptors are left.
async fn refused(error: &io::Error, seats: &Seats) {
    let is_short = matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    if is_short && seats.make_room() {
        log::debug!("closed an idle API connection to make room: {error}");
        sleep(PAUSE).await;
        return;
    }
    log::warn!("cannot accept an API connection: {error}");
    sleep(PAUSE * 10).await;
}

impl Server {
    /// Serves one connection until either side closes it.
    async fn attend<S>(self, stream: S, peer: Peer, guest: Arc<Guest>, _seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Watched::new(stream, Arc::clone(&guest)));
        let answer = service_fn(|request| self.answer(request, &guest, &peer));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(stream, answer);
        tokio::select! {
            ended = connection => {
                if let Err(error) = ended {
                    log::debug!("an API connection failed: {error}");
                }
            }
            () = guest.must_leave(IDLE) => log::debug!("closed an idle API connection"),
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        guest: &Arc<Guest>,
        peer: &Peer,
    ) -> Result<Response, Infallible> {
        let (mut parts, body) = request.into_parts();
        let body = match self.intake.read(body, parts.uri.path(), peer).await {
            Ok(body) => body,
            Err(problem) => {
                let mut response = problem.into_response();
                // The rest of the body is not read.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return Ok(response);
            }
        };
        guest.is_served();
        parts.extensions.insert(ConnectInfo(peer.clone()));
        parts.extensions.insert(Arc::clone(guest));
        // Held until the request is done, even if the client disconnects.
        parts.extensions.insert(body.room);
        let request = Request::from_parts(parts, Body::from(body.bytes));
        let response = self.router.call(request).await;
        guest.is_waited_for();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_vanishes_is_noticed() {
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = door.local_addr().expect("bound");
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), Door::accept(&door));
        let (stream, _) = accepted.expect("accepted");
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().expect("a socket"), Some(LOST));
        assert!(socket.keepalive().expect("a socket"));
        assert_eq!(socket.tcp_keepalive_time().expect("a socket"), LOST / 2);
    }
}
