//! A trace as a stream of packets, one per line.

use std::convert::Infallible;

use aide::{OperationOutput, generate::GenContext, openapi};
use axum::{
    Json,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use lb_common::capture::Record;
use lb_model::views::trace::{Ended, TraceFilter, TraceLine};
use serde::Serialize;
use tokio::sync::mpsc;

use super::{Failed, answers::of_media_type, connections::NDJSON, extract::Query, peer::Peer};
use crate::{
    control::Handle,
    trace::{Packets, Trace},
};

/// Chunks that wait for the client.
const BACKLOG: usize = 4;

/// Response with one line of a trace per line.
pub(super) struct Lines(Body);

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, NDJSON)], self.0).into_response()
    }
}

impl OperationOutput for Lines {
    type Inner = TraceLine;

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<u16>, openapi::Response)> {
        let response = Json::<TraceLine>::operation_response(context, operation);
        let lines = response.map(|response| (Some(200), of_media_type(response, NDJSON)));
        lines.into_iter().collect()
    }
}

pub(super) async fn trace(
    State(handle): State<Handle>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Query(filter): Query<TraceFilter>,
) -> Result<Lines, Failed> {
    if !peer.is_root() {
        let detail = "only root may record packets, as they hold what clients send: use sudo";
        return Err(Failed::new(StatusCode::FORBIDDEN, detail));
    }
    let trace = handle.trace(filter).await?;
    log::info!("{peer} records packets");
    let (sender, receiver) = mpsc::channel(BACKLOG);
    // Not a part of the answer, which is dropped when the client disconnects: the usual program must be
    // attached again.
    tokio::spawn(async move {
        let why = send(trace, &sender).await;
        handle.end_trace().await;
        log::info!("{peer} has stopped recording packets: {why}");
        sender.send(line(&TraceLine::Ended(Ended { why })).into()).await.ok();
    });
    let chunks = stream::unfold(receiver, async |mut receiver| {
        let chunk = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(chunk), receiver))
    });
    Ok(Lines(Body::from_stream(chunks)))
}

/// Sends packets until the client disconnects, or nothing is recorded any more. Returns how it ended.
async fn send(mut trace: Trace, sender: &mpsc::Sender<Bytes>) -> String {
    let mut packets = None;
    let mut chunk = line(&TraceLine::Began(trace.began));
    while sender.send(chunk.into()).await.is_ok() {
        let records = tokio::select! {
            records = trace.records.recv() => records,
            () = sender.closed() => None,
        };
        let Some(records) = records else { break };
        let present = trace.snapshots.borrow_and_update().clone();
        let Some(present) = present else { break };
        if !packets.as_ref().is_some_and(|packets: &Packets| packets.are_of(&present)) {
            packets = Some(Packets::of(present));
        }
        chunk = packets.as_ref().map(|packets| lines(packets, &records)).unwrap_or_default();
    }
    drop(trace.records);
    match trace.reader.await {
        Ok(Ok(left_out)) => format!("{left_out} packets were left out"),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}

fn lines(packets: &Packets, records: &[Record]) -> Vec<u8> {
    let packets = records.iter().map(|record| TraceLine::Packet(Box::new(packets.packet(record))));
    packets.flat_map(|packet| line(&packet)).collect()
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
