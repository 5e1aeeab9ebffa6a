//! Limits of a client's cost.

use std::time::Duration;

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::watch,
    time::Instant,
};

use super::{
    super::{intake::Intake, serve_within},
    Testbed, listen, web,
};
use crate::control::{self, Request};

const POST: &str =
    "POST /v1/rollback HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n";

impl Testbed {
    async fn connect(&self, sent: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.expect("listens");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        stream
    }
}

/// Reads until the server closes the connection.
async fn rest(mut stream: UnixStream) -> String {
    let mut said = Vec::new();
    // Data that the server has not read turns the end into an error.
    stream.read_to_end(&mut said).await.ok();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(start_paused = true)]
async fn half_requests_are_dropped_and_make_room_for_others() {
    let testbed = Testbed::new().await;
    let begun = Instant::now();
    let mut halves = Vec::new();
    for _ in 0..300 {
        halves.push(testbed.connect("GET /v1/services HTTP/1.1\r\nhost: x").await);
    }
    assert_eq!(testbed.client().services().await.expect("answered"), [web()]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for half in halves {
        assert_eq!(rest(half).await, "");
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_refused() {
    let testbed = Testbed::new().await;
    let stream = testbed.connect(&format!("{POST}content-length: 99\r\n\r\n{{")).await;
    let said = rest(stream).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("took too long"), "{said}");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let testbed = Testbed::new().await;
    for (path, length) in [
        ("/v1/rollback", (1 << 20) + 1),
        ("/v1/services", 200 << 20),
        ("/v1/plan", (128 << 20) + 1),
        ("/v1/apply", u64::MAX >> 1),
    ] {
        let head = POST.replace("/v1/rollback", path);
        let said =
            rest(testbed.connect(&format!("{head}content-length: {length}\r\n\r\n{{")).await).await;
        assert!(said.starts_with("HTTP/1.1 413 "), "{path}: {said}");
        assert!(said.contains("application/problem+json"), "{path}: {said}");
    }
    let piece = format!("fffff\r\n{}\r\n", " ".repeat(0xf_ffff));
    let chunked = format!("{POST}transfer-encoding: chunked\r\n\r\n{piece}{piece}");
    let mut stream = UnixStream::connect(testbed.socket()).await.expect("listens");
    stream.write_all(chunked.as_bytes()).await.ok();
    let said = rest(stream).await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 413 "), "{said}");
}

#[tokio::test]
async fn large_bodies_are_read_whole() {
    let testbed = Testbed::new().await;
    let text = " ".repeat(1_000_000);
    let body = format!("{{\"version\":\"{text}\"}}");
    let length = body.len();
    let stream = testbed
        .connect(&format!("{POST}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"))
        .await;
    let said = rest(stream).await;
    assert!(
        said.starts_with("HTTP/1.1 422 ") && said.contains("`version` is a long text"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_answers_is_dropped() {
    let testbed = Testbed::new().await;
    let mut stream = testbed.connect("").await;
    let request = "GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let begun = Instant::now();
    while stream.write_all(request.as_bytes()).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_mins(5), "still connected");
    }
}

#[tokio::test]
async fn a_text_keeps_its_reservation_until_its_work_is_done() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("socket");
    let listener = listen(&socket).await.expect("listens");
    let (handle, mut requests, _) = control::channel(8);
    let (_stopping, stopped) = watch::channel(());
    let server = serve_within(Intake::new(64 << 10), listener, handle, stopped);
    let server = tokio::spawn(server);
    let body = format!("{{\"path\":\"\",\"text\":\"{}\"}}", " ".repeat(100 << 10));
    let head = POST.replace("/v1/rollback", "/v1/plan");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let send = async || {
        let mut stream = UnixStream::connect(&socket).await.expect("listens");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    };
    let stream = send().await;
    let Some(Request::Plan(submission, mut reply)) = requests.recv().await else {
        panic!("no plan")
    };
    drop(stream);
    reply.closed().await;
    let said = rest(send().await).await;
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("try again"), "{said}");
    drop(submission);
    let _stream = send().await;
    assert!(matches!(requests.recv().await, Some(Request::Plan(..))));
    server.abort();
}
