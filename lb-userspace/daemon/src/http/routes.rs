//! Routes of the HTTP server.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{from_fn_with_state, map_response},
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures_util::{Stream, stream};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{
    Snapshots,
    access::{self, Access},
    live::Live,
    page,
    places::{Place, Places},
};
use crate::{
    control::Handle,
    metrics::{self, Format},
    overview::Fitness,
};

const OPEN_METRICS: &str = "application/openmetrics-text";

/// Maximum number of answers with metrics that are being sent.
const ANSWERS: usize = 8;

/// Time after which a client that has not read all of them makes room for another: Prometheus waits no longer.
const KEPT: Duration = Duration::from_secs(10);

/// Time for which metrics are sent again to other clients.
const FRESH: Duration = Duration::from_millis(500);

/// Size of the pieces of an answer in bytes.
const PIECE: usize = 64 << 10;

/// A text in parts. Clones share them.
type Text = Vec<Bytes>;

/// What the routes read.
#[derive(Clone)]
pub(super) struct Served {
    handle: Handle,
    snapshots: Snapshots,
    answers: Places,
    /// The last metrics, and when they were written.
    last: Arc<Mutex<HashMap<Format, (Instant, Text)>>>,
    live: Live,
}

impl Served {
    pub(super) fn new(handle: Handle, snapshots: Snapshots, live: Live) -> Self {
        let answers = Places::new(ANSWERS, KEPT);
        Self { handle, snapshots, answers, last: Arc::default(), live }
    }

    /// Returns the metrics, which are written for one client at a time: whoever asks next finds them, even if that
    /// client has left.
    async fn metrics(self, format: Format) -> Result<Text, String> {
        let mut last = self.last.lock().await;
        if let Some((_, text)) = last.get(&format).filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(text.clone());
        }
        let overview =
            self.handle.overview().await.map_err(|refusal| refusal.detail().into_owned())?;
        let written = spawn_blocking(move || metrics::encode(overview, format)).await;
        let texts = written.ok().and_then(Result::ok).ok_or("cannot write the metrics")?;
        let text: Text = texts.into_iter().map(Bytes::from).collect();
        last.insert(format, (Instant::now(), text.clone()));
        Ok(text)
    }
}

/// Headers of every answer, unless it has its own: no other site may show it, and no script but the page's
/// own runs in it.
const SAFE: [(HeaderName, HeaderValue); 6] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

pub(super) fn router(served: Served, access: Access) -> Router {
    Router::new()
        .merge(page::routes())
        .route("/events", get(events))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(async || {
            (StatusCode::NOT_FOUND, "unknown path: there are /, /metrics, /healthz and /readyz\n")
        })
        .layer(from_fn_with_state(access, access::check))
        .layer(map_response(async |mut response: Response| {
            for (name, value) in SAFE {
                response.headers_mut().entry(name).or_insert(value);
            }
            response
        }))
        .with_state(served)
}

async fn metrics(State(served): State<Served>, headers: HeaderMap) -> Response {
    let Some(place) = served.answers.take() else {
        return unavailable("too many clients read metrics: try again");
    };
    let format = format(&headers);
    // Not a part of the answer, which is dropped when the client leaves.
    let writing = tokio::spawn(async move { (served.metrics(format).await, place) });
    let Ok((written, place)) = writing.await else {
        return unavailable("cannot write the metrics");
    };
    match written {
        Ok(text) => {
            let body = Body::from_stream(pieces(text, place));
            ([(CONTENT_TYPE, format.media_type())], body).into_response()
        }
        Err(fault) => {
            log::warn!("no metrics: {fault}");
            unavailable(&fault)
        }
    }
}

/// Sends what the page shows, until the client leaves.
async fn events(State(served): State<Served>) -> Response {
    let Some(events) = served.live.view() else {
        return unavailable("too many viewers: close another status page");
    };
    let media_type = HeaderValue::from_static("text/event-stream");
    ([(CONTENT_TYPE, media_type)], Body::from_stream(events)).into_response()
}

/// Returns a text in pieces, for as long as the client has its place.
fn pieces(text: Text, place: Place) -> impl Stream<Item = io::Result<Bytes>> {
    let pieces = text.into_iter().flat_map(|part| {
        let size = part.len();
        (0..size).step_by(PIECE).map(move |at| part.slice(at..size.min(at + PIECE)))
    });
    stream::unfold((pieces, place), async |(mut pieces, place)| {
        let piece = pieces.next()?;
        // An end would make what was sent look like a whole answer.
        let piece = if place.is_lost() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(piece) };
        Some((piece, (pieces, place)))
    })
}

fn unavailable(fault: &str) -> Response {
    let soon = [(RETRY_AFTER, HeaderValue::from_static("1"))];
    (StatusCode::SERVICE_UNAVAILABLE, soon, format!("{fault}\n")).into_response()
}

/// Returns the format that a client asks for.
fn format(headers: &HeaderMap) -> Format {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|of| of.eq_ignore_ascii_case(OPEN_METRICS));
        is_it && parts.all(|part| !matches!(part, "q=0" | "q=0.0"))
    });
    if is_open { Format::OpenMetrics } else { Format::Text }
}

async fn healthz(State(served): State<Served>) -> Response {
    judged(&served, |fitness| fitness.stuck.into_iter().collect())
}

async fn readyz(State(served): State<Served>) -> Response {
    judged(&served, |Fitness { stuck, unready }| stuck.into_iter().chain(unready).collect())
}

/// Answers 200, or 503 with what is wrong, without a question to anybody.
fn judged(served: &Served, faults: impl FnOnce(Fitness) -> Vec<String>) -> Response {
    let snapshot = served.snapshots.borrow().clone();
    let Some(snapshot) = snapshot else { return unavailable("the daemon is starting") };
    let faults = faults(snapshot.fitness());
    if faults.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    unavailable(&faults.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_do_not_know_openmetrics_get_text() {
        let of = |accept: &str| {
            format(&HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a value"))]))
        };
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4,*/*;q=0.1";
        assert_eq!(of(prometheus), Format::OpenMetrics);
        assert_eq!(of("Application/OpenMetrics-Text"), Format::OpenMetrics);
        assert_eq!(of("application/openmetrics-text;q=0,text/plain"), Format::Text);
        assert_eq!([of("*/*"), of("text/plain"), of("text/html,*/*;q=0.8")], [Format::Text; 3]);
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }
}
