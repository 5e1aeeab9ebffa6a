use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::{Request as HttpRequest, StatusCode, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::UnixStream, sync::watch, task::JoinHandle};

use super::*;
use crate::{
    control::{self, Change, Refusal, Request, ServiceView},
    model::{Admin, Mode, Protocol, Scheduler},
};

/// A server with a loop behind it that knows the service `web` and refuses to change others.
struct Served {
    path: PathBuf,
    _stop: watch::Sender<()>,
    server: JoinHandle<Result<()>>,
    seen: tokio::sync::mpsc::UnboundedReceiver<Change>,
}

async fn serve_fake(name: &str) -> Served {
    let path = std::env::temp_dir().join(format!("xdplb-api-{name}-{}", std::process::id()));
    let (handle, mut requests) = control::channel(1);
    let (seen_by, seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Services(reply) => drop(reply.send(Ok(vec![web()]))),
                Request::Change(change, reply) if change.service() == "web" => {
                    seen_by.send(change).unwrap();
                    drop(reply.send(Ok(web())));
                }
                Request::Change(change, reply) => {
                    let service = change.service();
                    let refusal = Refusal::NotFound(format!("there is no service {service}"));
                    drop(reply.send(Err(refusal)));
                }
                Request::Status(reply) => {
                    drop(reply.send(Err(Refusal::Failed("broken".to_owned()))));
                }
                Request::Stats(reply) => {
                    drop(reply.send(Err(Refusal::Conflict("busy".to_owned()))));
                }
            }
        }
    });
    let listener = listen(&path).await.unwrap();
    let (stop, stopped) = watch::channel(());
    let server = tokio::spawn(serve(listener, handle, stopped));
    Served { path, _stop: stop, server, seen }
}

fn web() -> ServiceView {
    ServiceView {
        name: "web".to_owned(),
        vip: "203.0.113.10:80".parse().unwrap(),
        protocol: Protocol::Tcp,
        mode: Mode::Nat,
        scheduler: Scheduler::RoundRobin,
        backends: Vec::new(),
    }
}

async fn ask(served: &Served, method: &str, path: &str, body: &str) -> (StatusCode, String, Value) {
    let stream = UnixStream::connect(&served.path).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("host", "x")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let (status, kind) = (answer.status(), answer.headers()["content-type"].clone());
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, kind.to_str().unwrap().to_owned(), serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn services_have_the_shape_of_the_contract() {
    let served = serve_fake("shape").await;
    let (status, _, body) = ask(&served, "GET", "/v1/services", "").await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({
        "name": "web", "vip": "203.0.113.10:80", "protocol": "tcp", "mode": "nat",
        "scheduler": "round-robin", "backends": []
    });
    assert_eq!(body, json!([expected]));
    assert_eq!(ask(&served, "GET", "/v1/services/web", "").await.2, expected);
}

#[tokio::test]
async fn changes_reach_the_loop() {
    let mut served = serve_fake("changes").await;
    let path = "/v1/services/web/backends";
    let (status, ..) = ask(&served, "POST", path, r#"{"address":"10.0.0.1:80"}"#).await;
    assert_eq!(status, StatusCode::CREATED);
    let Some(Change::AddBackend { backend, .. }) = served.seen.recv().await else { panic!() };
    assert_eq!((backend.weight, backend.backup, backend.admin), (1, false, Admin::Enabled));

    let one = format!("{path}/10.0.0.1:80");
    let (status, ..) = ask(&served, "PATCH", &one, r#"{"admin":"draining","weight":3}"#).await;
    assert_eq!(status, StatusCode::OK);
    let Some(Change::SetBackend { settings, .. }) = served.seen.recv().await else { panic!() };
    assert_eq!((settings.weight, settings.admin), (Some(3), Some(Admin::Draining)));

    let (status, ..) = ask(&served, "DELETE", &one, "").await;
    assert_eq!(status, StatusCode::OK);
    let Some(Change::RemoveBackend { address, .. }) = served.seen.recv().await else { panic!() };
    assert_eq!(address, "10.0.0.1:80".parse::<SocketAddr>().unwrap());
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let served = serve_fake("problems").await;
    let backends = "/v1/services/web/backends";
    let cases = [
        ("GET", "/v1/nothing", "", 404),
        ("GET", "/v1/services/nope", "", 404),
        ("GET", "/v1/status", "", 500),
        ("GET", "/v1/stats", "", 409),
        ("PUT", "/v1/services", "", 405),
        ("POST", "/v1/services/nope/backends", r#"{"address":"10.0.0.1:80"}"#, 404),
        ("POST", backends, "{", 400),
        ("POST", backends, r#"{"address":"10.0.0.1"}"#, 422),
        ("POST", backends, r#"{"address":"10.0.0.1:80","wieght":1}"#, 422),
        ("POST", backends, r#"{"address":"10.0.0.1:80","weight":70000}"#, 422),
        ("PATCH", "/v1/services/web/backends/nowhere", "{}", 400),
    ];
    for (method, path, body, code) in cases {
        let (status, kind, problem) = ask(&served, method, path, body).await;
        assert_eq!(status.as_u16(), code, "{method} {path} {body}: {problem}");
        assert_eq!(kind, "application/problem+json", "{method} {path}");
        assert_eq!(problem["status"], code);
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_socket_is_taken_over_only_from_the_dead_and_removed_at_the_end() {
    let served = serve_fake("socket").await;
    let path = served.path.clone();
    let said = format!("{:#}", listen(&path).await.unwrap_err());
    assert!(said.contains("another daemon answers"), "{said}");
    served.server.abort();
    assert!(served.server.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = listen(&path).await.unwrap();
    drop(listener);
    assert!(!path.exists());
}
