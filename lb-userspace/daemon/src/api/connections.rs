//! Listing of connections as a stream, so that they are never all in memory at once.

use std::{
    convert::Infallible,
    mem,
    ops::ControlFlow,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use futures_util::stream;
use lb_dataplane::listing::Listing;
use lb_model::connections::{Clients, Connection, Counts, Filter, Kill, MOST, Order};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::spawn_blocking,
};

use super::{
    Failed,
    answers::Lines,
    extract::Query,
    guests::{Guest, Seats},
    peer::Peer,
    searches,
};
use crate::{control::Handle, kill};

/// Approximate size of a chunk in bytes.
const CHUNK: usize = 64 << 10;

/// Maximum number of chunks that wait for the reader.
const BACKLOG: usize = 8;

/// Limit of concurrent listings: each occupies a thread. A client that has not read for a second
/// makes room for another.
static READERS: LazyLock<Arc<Seats>> = LazyLock::new(|| Seats::new(16, Duration::from_secs(1)));

/// Number of connections in a sorted list, and of clients, unless the request has a limit.
const USUAL_SORTED: usize = 1_000;
const USUAL_CLIENTS: usize = 10;

/// Limit of concurrent counts of connections.
static COUNTERS: Semaphore = Semaphore::const_new(2);

/// Limit of concurrent requests that kill connections.
static KILLERS: Semaphore = Semaphore::const_new(1);

pub(super) async fn list(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Extension(guest): Extension<Arc<Guest>>,
    Query(filter): Query<Filter>,
) -> Result<Lines<Connection>, Failed> {
    let limit = if filter.sort.is_some() { bounded(&filter, USUAL_SORTED)? } else { usize::MAX };
    let seat = READERS.take(&guest).ok_or_else(too_many)?;
    let listing = handle.connections(&filter).await?;
    if filter.sort == Some(Order::Bytes) && !listing.is_accounting() {
        let detail =
            "bytes of connections are not counted: set `limits.accounting = true`, and restart";
        return Err(Failed::new(StatusCode::CONFLICT, detail));
    }
    searches::note(&listing, &peer);
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let wanted = listing.wanted();
    spawn_blocking(move || {
        let _seat = seat;
        send(&listing, &filter, limit, &sender);
    });
    let chunks = stream::unfold((receiver, wanted), async |(mut receiver, wanted)| {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), (receiver, wanted)))
    });
    Ok(Lines::new(Body::from_stream(chunks)))
}

/// Sends all connections, of a sorted list as many as this limit, or until the client disconnects.
fn send(listing: &Listing, filter: &Filter, limit: usize, sender: &mpsc::Sender<Bytes>) {
    let room = || Vec::with_capacity(CHUNK + CHUNK / 8);
    let mut chunk = room();
    let tell = |connection: Connection| {
        if serde_json::to_writer(&mut chunk, &connection).is_err() {
            unreachable!("a connection has no map with keys other than strings");
        }
        chunk.push(b'\n');
        if chunk.len() < CHUNK {
            return ControlFlow::Continue(());
        }
        let full = mem::replace(&mut chunk, room()).into();
        match sender.blocking_send(full) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let told = match filter.sort {
        None => listing.for_each(filter, tell),
        Some(order) => listing.first(filter, order, limit).into_iter().try_for_each(tell),
    };
    if told.is_continue() {
        // An error means that the client has disconnected.
        sender.blocking_send(chunk.into()).ok();
    }
}

pub(super) async fn count(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(filter): Query<Filter>,
) -> Result<Json<Counts>, Failed> {
    survey(&handle, &peer, filter, Listing::count).await
}

pub(super) async fn clients(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(filter): Query<Filter>,
) -> Result<Json<Clients>, Failed> {
    let limit = bounded(&filter, USUAL_CLIENTS)?;
    survey(&handle, &peer, filter, move |listing, filter| listing.clients(filter, limit)).await
}

/// Counts something of all matching connections.
async fn survey<T: Send + 'static>(
    handle: &Handle,
    peer: &Peer,
    filter: Filter,
    count: impl FnOnce(&Listing, &Filter) -> T + Send + 'static,
) -> Result<Json<T>, Failed> {
    let turn = COUNTERS.acquire().await;
    let listing = handle.connections(&filter).await?;
    searches::note(&listing, peer);
    let _wanted = listing.wanted();
    let counted = spawn_blocking(move || {
        let _turn = turn;
        count(&listing, &filter)
    });
    let failed = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "counting failed");
    Ok(Json(counted.await.map_err(failed)?))
}

/// Returns the request's limit or the usual one.
fn bounded(filter: &Filter, usual: usize) -> Result<usize, Failed> {
    let too_large = || {
        let detail = format!("`limit` in the query is too large: give {MOST} at most");
        Failed::new(StatusCode::BAD_REQUEST, detail)
    };
    let Some(limit) = filter.limit else { return Ok(usual) };
    let limit = usize::try_from(limit).ok().filter(|_| limit <= MOST);
    limit.ok_or_else(too_large)
}

/// Kills the matching connections, until it is done or the client disconnects.
pub(super) async fn kill(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(filter): Query<Filter>,
) -> Result<Json<Kill>, Failed> {
    if filter.admits_all() {
        let detail = "this would kill all connections: give a filter, as in ?client=198.51.100.7";
        return Err(Failed::new(StatusCode::BAD_REQUEST, detail));
    }
    if filter.sort.is_some() || filter.reverse {
        let detail = "connections are killed in no order: leave `sort` and `reverse` out";
        return Err(Failed::new(StatusCode::BAD_REQUEST, detail));
    }
    let turn = KILLERS.try_acquire().map_err(|_| being_killed())?;
    let listing = handle.connections(&filter).await?;
    searches::note(&listing, &peer);
    let rate = kill::Rate::within(handle.running().await?.config.limits.resets);
    let (reply, answer) = oneshot::channel();
    spawn_blocking(move || {
        let _turn = turn;
        let done = kill::kill(&listing, &filter, rate, handle.ends.as_ref(), || !reply.is_closed());
        log::info!("{peer}: {} connections killed, of {filter}", done.killed);
        // The client may have disconnected.
        drop(reply.send(done));
    });
    let failed = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "killing connections failed");
    Ok(Json(answer.await.map_err(failed)?))
}

fn being_killed() -> Failed {
    let detail = "another request is killing connections: try again when it is done";
    Failed::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

fn too_many() -> Failed {
    let detail = "too many requests are listing connections: try again";
    Failed::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}
