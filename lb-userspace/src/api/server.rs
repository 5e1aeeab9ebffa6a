//! The server's end of connections: how many there may be, and what they may cost.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    http::{HeaderValue, header::CONNECTION},
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
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::sleep,
};

use super::{
    guests::{Guest, Seat, Seats},
    intake::Intake,
    peer::Peer,
    watched::Watched,
};

/// Connections at once.
const CONNECTIONS: usize = 256;

/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// Bytes of the largest head.
const LARGEST_HEAD: usize = 64 << 10;

/// How long a client may neither send nor take anything that it should.
const IDLE: Duration = Duration::from_secs(30);

/// How long to wait for a seat, or for files that can be opened.
const PAUSE: Duration = Duration::from_millis(10);

/// What all connections have in common.
#[derive(Clone, Debug)]
struct Server {
    router: TowerToHyperService<Router>,
    intake: Intake,
}

/// Accepts connections for as long as the socket lives.
pub(super) async fn serve(socket: &UnixListener, router: Router, intake: Intake) -> Infallible {
    let server = Server { router: TowerToHyperService::new(router), intake };
    let seats = Seats::new(CONNECTIONS, Duration::ZERO);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => {
                    let guest = Guest::new();
                    let seat = seat(&seats, &guest).await;
                    connections.spawn(server.clone().attend(stream, guest, seat));
                }
                Err(error) => refused(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits until somebody can leave for the guest.
async fn seat(seats: &Arc<Seats>, guest: &Arc<Guest>) -> Seat {
    loop {
        match seats.take(guest) {
            Some(seat) => return seat,
            None => sleep(PAUSE).await,
        }
    }
}

async fn refused(error: &io::Error) {
    log::warn!("a connection to the API could not be accepted: {error}");
    sleep(PAUSE * 10).await;
}

impl Server {
    /// Serves one connection until either side has had enough.
    async fn attend(self, stream: UnixStream, guest: Arc<Guest>, _seat: Seat) {
        let peer = Peer::of(&stream);
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
                    log::debug!("a connection to the API has failed: {error}");
                }
            }
            () = guest.must_leave(IDLE) => log::debug!("an idle client of the API was cut off"),
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
                // What is left of the body is not read.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return Ok(response);
            }
        };
        guest.is_served();
        parts.extensions.insert(ConnectInfo(peer.clone()));
        parts.extensions.insert(Arc::clone(guest));
        // Whoever works on the request holds it, even when the client has hung up.
        parts.extensions.insert(body.room);
        let request = Request::from_parts(parts, Body::from(body.bytes));
        let response = self.router.call(request).await;
        guest.is_waited_for();
        response
    }
}
