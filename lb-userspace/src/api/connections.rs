//! Connections, told while they are found: a million of them are never in memory at once.

use std::{convert::Infallible, ops::ControlFlow};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{Problem, routes::Query};
use crate::{
    connections::{Counts, Filter, Listing},
    control::Handle,
};

/// A JSON object a line, for each connection.
const NDJSON: &str = "application/x-ndjson";

/// Bytes that are sent at once, about.
const CHUNK: usize = 64 << 10;

/// Chunks that wait for the reader, at most.
const BACKLOG: usize = 8;

pub(super) async fn list(
    State(handle): State<Handle>,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let listing = handle.connections().await?;
    let (sender, receiver) = mpsc::channel(BACKLOG);
    spawn_blocking(move || send(&listing, &filter, &sender));
    let chunks = stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), receiver))
    });
    Ok(([(CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response())
}

/// Sends until all is told, or nobody listens any more.
fn send(listing: &Listing, filter: &Filter, sender: &mpsc::Sender<Bytes>) {
    let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 8);
    let told = listing.for_each(filter, |connection| {
        if serde_json::to_writer(&mut chunk, &connection).is_err() {
            unreachable!("a connection has no map with keys that are no texts");
        }
        chunk.push(b'\n');
        if chunk.len() < CHUNK {
            return ControlFlow::Continue(());
        }
        let full = Bytes::copy_from_slice(&chunk);
        chunk.clear();
        match sender.blocking_send(full) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    if told.is_continue() {
        // If nobody listens any more, nobody misses it.
        sender.blocking_send(chunk.into()).ok();
    }
}

pub(super) async fn count(
    State(handle): State<Handle>,
    Query(filter): Query<Filter>,
) -> Result<Json<Counts>, Problem> {
    let listing = handle.connections().await?;
    let counting = spawn_blocking(move || {
        let mut counts = Counts::default();
        let _ = listing.for_each(&filter, |connection| {
            counts.count(connection.state);
            ControlFlow::Continue(())
        });
        counts
    });
    let failed = |_| Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "counting failed");
    Ok(Json(counting.await.map_err(failed)?))
}
