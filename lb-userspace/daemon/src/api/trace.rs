//! A trace as a stream of packets, one per line.

use std::{convert::Infallible, future::pending, iter, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::StatusCode,
};
use futures_util::stream;
use lb_dataplane::Batch;
use lb_model::views::trace::{Ended, TraceFilter, TraceLine};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{Failed, answers::Lines, extract::Query, peer::Peer};
use crate::{
    control::Handle,
    snapshot::Snapshots,
    trace::{Followed, Packets, Trace},
};

/// Time without packets after which a line says that there were none.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Chunks that wait for the client.
const BACKLOG: usize = 4;

pub(super) async fn trace(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(filter): Query<TraceFilter>,
) -> Result<Lines<TraceLine>, Failed> {
    if !peer.is_root() {
        let detail = "only root may record packets, as they hold what clients send: use sudo";
        return Err(Failed::new(StatusCode::FORBIDDEN, detail));
    }
    let (begun, has_begun) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(BACKLOG);
    // Not a part of the answer, which is dropped whenever the client disconnects: the usual program must be
    // attached again.
    tokio::spawn(async move {
        match handle.trace(filter).await {
            Ok(trace) => {
                begun.send(Ok(())).ok();
                log::info!("{peer} records packets");
                let why = send(trace, &sender).await;
                handle.end_trace().await;
                log::info!("{peer} has stopped recording packets: {why}");
                sender.send(line(&TraceLine::Ended(Ended { why })).into()).await.ok();
            }
            Err(refusal) => drop(begun.send(Err(refusal))),
        }
    });
    let failed = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the trace has failed");
    has_begun.await.map_err(failed)??;
    let chunks = stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), receiver))
    });
    Ok(Lines::new(Body::from_stream(chunks)))
}

/// Sends packets until the client disconnects, or nothing is recorded any more. Returns how it ended.
async fn send(mut trace: Trace, sender: &mpsc::Sender<Bytes>) -> String {
    let (mut names, mut left_out) = (None, 0);
    let mut snapshots = trace.snapshots.clone();
    let mut chunk = line(&TraceLine::Began(trace.began));
    while sender.send(chunk.into()).await.is_ok() {
        let batch = tokio::select! {
            batch = trace.batches.recv() => batch,
            () = sender.closed() => None,
            why = lost(trace.service.as_ref(), &mut snapshots) => return why,
            // Otherwise the connection would count as idle.
            () = sleep(SIGN_OF_LIFE) => Some(Batch { records: Vec::new(), left_out }),
        };
        let Some(batch) = batch else { break };
        left_out = batch.left_out;
        let present = trace.snapshots.borrow_and_update().clone();
        let Some(present) = present else { break };
        let known = names.take().filter(|names: &Packets| names.are_of(&present));
        let known = known.unwrap_or_else(|| Packets::of(present));
        chunk = lines(names.insert(known), &batch);
    }
    drop(trace.batches);
    match trace.reader.await {
        Ok(Ok(())) => "the client has disconnected".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}

/// Returns why the service's packets are not recorded any more, once they are not.
async fn lost(service: Option<&Followed>, snapshots: &mut Snapshots) -> String {
    let Some(service) = service else { return pending().await };
    loop {
        let present = snapshots.borrow_and_update().clone();
        if let Some(why) = present.and_then(|present| service.lost(&present)) {
            return why;
        }
        if snapshots.changed().await.is_err() {
            return pending().await;
        }
    }
}

fn lines(names: &Packets, Batch { records, left_out }: &Batch) -> Vec<u8> {
    let packets = records.iter().map(|record| TraceLine::Packet(Box::new(names.packet(record))));
    let left_out = iter::once(TraceLine::LeftOut(*left_out));
    packets.chain(left_out).flat_map(|one| line(&one)).collect()
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
