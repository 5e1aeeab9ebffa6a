use std::sync::Arc;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use hyper::{body::Bytes, service::Service as _};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{page::tests::paths, *};
use crate::{
    control::{self, Question},
    overview::example::overview,
    snapshot::Snapshot,
};

const TOKEN: &str = "0123456789abcdef";

/// The server's routes, with a viewer that has always one connection more.
struct Served {
    router: TowerToHyperService<axum::Router>,
    /// Has an entry for each question that was answered.
    asked: mpsc::UnboundedReceiver<()>,
}

impl Served {
    fn new(token: Option<&str>) -> Self {
        let (handle, _, questions) = control::channel(8);
        let (_, snapshots) = watch::channel(None::<Arc<Snapshot>>);
        let (told, asked) = mpsc::unbounded_channel();
        tokio::spawn(answer(questions, told));
        let live = Live::new();
        let served = routes::Served::new(handle.clone(), snapshots, live.clone());
        tokio::spawn(async move { live.run(&handle).await });
        let access = Access::new(([127, 0, 0, 1], 9370).into(), token);
        Self { router: TowerToHyperService::new(router(served, access)), asked }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.router.call(request).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[]).await
    }
}

async fn answer(mut questions: mpsc::Receiver<Question>, told: mpsc::UnboundedSender<()>) {
    let mut now = overview();
    while let Some(question) = questions.recv().await {
        let Question::Overview(reply) = question else { panic!("{question:?}") };
        now.services[0].stats.backends[0].connections += 1;
        reply.send(Ok(now.clone())).ok();
        told.send(()).ok();
    }
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

/// Returns the name and the data of the next event.
async fn event(body: &mut Body) -> (String, Value) {
    let frame = body.frame().await.expect("an event").expect("no failure");
    let bytes: Bytes = frame.into_data().expect("data");
    let text = std::str::from_utf8(&bytes).expect("text");
    let text = text.strip_prefix("event: ").and_then(|text| text.strip_suffix("\n\n"));
    let (name, data) = text.and_then(|text| text.split_once("\ndata: ")).expect("an event");
    (name.to_owned(), serde_json::from_str(data).expect("JSON"))
}

fn media_type(headers: &HeaderMap) -> &str {
    headers[header::CONTENT_TYPE].to_str().expect("text")
}

#[tokio::test]
async fn files_are_sent_unless_the_client_has_them() {
    let served = Served::new(None);
    for (path, expected) in paths() {
        let answer = served.get(path).await;
        assert_eq!((answer.status(), media_type(answer.headers())), (StatusCode::OK, expected));
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let tag = answer.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert!(!text(answer).await.is_empty(), "{path}");
        let short = served.send(Method::GET, path, &[("if-none-match", &tag)]).await;
        assert_eq!(short.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(short.headers()[header::ETAG], tag);
        assert_eq!(text(short).await, "");
        let other = served.send(Method::GET, path, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
        let head = served.send(Method::HEAD, path, &[]).await;
        assert_eq!((head.status(), media_type(head.headers())), (StatusCode::OK, expected));
        assert_eq!(text(head).await, "");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let served = Served::new(None);
    let unknown = served.get("/../main.js").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert!(text(unknown).await.contains("there are /, /metrics"));
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let refused = served.send(method, "/", &[]).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    let foreign = served.send(Method::GET, "/events", &[("host", "evil.example")]).await;
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_browser_is_asked_for_the_token() {
    let served = Served::new(Some(TOKEN));
    for path in ["/", "/events", "/metrics"] {
        let refused = served.get(path).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{path}");
        let ways = refused.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let ways: Vec<_> = ways.map(|way| way.to_str().expect("text")).collect();
        assert!(ways[0] == "Bearer" && ways[1].starts_with("Basic realm="), "{ways:?}");
    }
    // "any:0123456789abcdef"
    let basic = ("authorization", "Basic YW55OjAxMjM0NTY3ODlhYmNkZWY=");
    assert_eq!(served.send(Method::GET, "/", &[basic]).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_viewer_gets_everything_and_then_what_has_changed() {
    let served = Served::new(None);
    let mut body = served.get("/events").await.into_body();
    let (name, whole) = event(&mut body).await;
    assert_eq!(name, "whole");
    let service = &whole["services"]["web\"\n"];
    assert_eq!(service["own"]["vip"], "203.0.113.10:80");
    assert_eq!(service["backends"]["10.0.0.11:80"]["health"], "up");
    assert_eq!(service["own"]["rates"], Value::Null, "there is no sample before");
    let (name, change) = event(&mut body).await;
    assert_eq!(name, "change");
    let service = &change["services"]["web\"\n"];
    assert_eq!(service["backends"]["10.0.0.11:80"]["rates"]["connections"], 1);
    assert_eq!(service["own"]["rates"]["connections"], 1);
    assert_eq!(change["all"]["rates"]["connections"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_viewer_gets_the_newest_whole_and_no_queue() {
    let mut served = Served::new(None);
    let mut body = served.get("/events").await.into_body();
    assert_eq!(event(&mut body).await.0, "whole");
    while served.asked.try_recv().is_ok() {}
    for _ in 0..3 {
        served.asked.recv().await.expect("a sample");
    }
    let names = [event(&mut body).await.0, event(&mut body).await.0];
    assert_eq!(names, ["whole", "change"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sampled_without_viewers() {
    let mut served = Served::new(None);
    let quiet = Duration::from_mins(1);
    assert!(timeout(quiet, served.asked.recv()).await.is_err(), "nobody looks");
    let mut body = served.get("/events").await.into_body();
    event(&mut body).await;
    drop(body);
    while timeout(quiet, served.asked.recv()).await.is_ok() {}
    let mut body = served.get("/events").await.into_body();
    let (name, whole) = event(&mut body).await;
    assert_eq!((&*name, &whole["all"]["rates"]), ("whole", &Value::Null), "not of an hour ago");
}

#[tokio::test]
async fn viewers_are_limited_and_told_so() {
    let served = Served::new(None);
    let mut viewers = Vec::new();
    for _ in 0..16 {
        let viewer = served.get("/events").await;
        assert_eq!(media_type(viewer.headers()), "text/event-stream");
        viewers.push(viewer);
    }
    let refused = served.get("/events").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(refused).await, "too many viewers: close another status page\n");
    viewers.pop();
    assert_eq!(served.get("/events").await.status(), StatusCode::OK);
}
