//! Listing of connections as a stream, so that they are never all in memory at once.

use std::{
    convert::Infallible,
    mem,
    ops::ControlFlow,
    sync::{Arc, LazyLock},
    time::Duration,
};

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use lb_dataplane::listing::Listing;
use lb_model::connections::{Connection, Counts, Filter};
use tokio::{
    sync::{Semaphore, mpsc},
    task::spawn_blocking,
};

use super::{
    Failed,
    answers::of_media_type,
    extract::Query,
    guests::{Guest, Seats},
};
use crate::control::Handle;

/// Media type of one JSON object per line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Approximate size of a chunk in bytes.
const CHUNK: usize = 64 << 10;

/// Maximum number of chunks that wait for the reader.
const BACKLOG: usize = 8;

/// Limit of concurrent listings: each occupies a thread. A client that has not read for a second
/// makes room for another.
static READERS: LazyLock<Arc<Seats>> = LazyLock::new(|| Seats::new(16, Duration::from_secs(1)));

/// Limit of concurrent counts of connections.
static COUNTERS: Semaphore = Semaphore::const_new(2);

/// Response with one connection per line.
pub(super) struct Lines(Body);

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, NDJSON)], self.0).into_response()
    }
}

impl OperationOutput for Lines {
    type Inner = Connection;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        let response = Json::<Connection>::operation_response(context, operation);
        let lines = response.map(|response| (Some(200), of_media_type(response, NDJSON)));
        lines.into_iter().collect()
    }
}

pub(super) async fn list(
    State(handle): State<Handle>,
    Extension(guest): Extension<Arc<Guest>>,
    Query(filter): Query<Filter>,
) -> Result<Lines, Failed> {
    let seat = READERS.take(&guest).ok_or_else(too_many)?;
    let listing = handle.connections(filter.service.clone()).await?;
    let (sender, receiver) = mpsc::channel(BACKLOG);
    spawn_blocking(move || send(&listing, &filter, &sender));
    let chunks = stream::unfold((receiver, seat), async |(mut receiver, seat)| {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), (receiver, seat)))
    });
    Ok(Lines(Body::from_stream(chunks)))
}

/// Sends all connections, or until the client disconnects.
fn send(listing: &Listing, filter: &Filter, sender: &mpsc::Sender<Bytes>) {
    let room = || Vec::with_capacity(CHUNK + CHUNK / 8);
    let mut chunk = room();
    let told = listing.for_each(filter, |connection| {
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
    });
    if told.is_continue() {
        // An error means that the client has disconnected.
        sender.blocking_send(chunk.into()).ok();
    }
}

pub(super) async fn count(
    State(handle): State<Handle>,
    Query(filter): Query<Filter>,
) -> Result<Json<Counts>, Failed> {
    let _turn = COUNTERS.acquire().await;
    let listing = handle.connections(filter.service.clone()).await?;
    let counting = spawn_blocking(move || listing.count(&filter)).await;
    let failed = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "counting failed");
    Ok(Json(counting.map_err(failed)?))
}

fn too_many() -> Failed {
    let detail = "too many requests are listing connections: try again";
    Failed::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}
