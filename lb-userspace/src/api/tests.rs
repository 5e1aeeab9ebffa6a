mod fuzz;
mod limits;
mod schema;

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, socket};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{Client, ClientError, NewBackend, Problem, listen, serve};
use crate::{
    config::Origin,
    control::{self, BackendView, Change, Refusal, Reply, ServiceView, Settings, Stats, Versioned},
    model::{Admin, Health, Policy, Protocol},
};

/// An API with a fake daemon's loop that has one service, `web`, and reports the requests.
struct Testbed {
    directory: TempDir,
    changes: mpsc::Receiver<Change>,
    server: JoinHandle<()>,
    stopping: watch::Sender<()>,
}

impl Testbed {
    async fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let listener = listen(&directory.path().join("socket")).await.expect("listens");
        let (handle, requests) = control::channel(8);
        let (told, changes) = mpsc::channel(8);
        let (stopping, stopped) = watch::channel(());
        let server = tokio::spawn(serve(listener, handle, stopped));
        tokio::spawn(answer(requests, told));
        Self { directory, changes, server, stopping }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn client(&self) -> Client {
        Client::new(self.socket())
    }

    async fn send(&self, method: Method, path: &str, body: &'static str) -> Response<Bytes> {
        send(&self.socket(), method, path, body.into()).await
    }
}

async fn send(socket: &Path, method: Method, path: &str, body: Bytes) -> Response<Bytes> {
    send_with(socket, &[], method, path, body).await
}

async fn send_with(
    socket: &Path,
    headers: &[(&str, &str)],
    method: Method,
    path: &str,
    body: Bytes,
) -> Response<Bytes> {
    let stream = UnixStream::connect(socket).await.expect("connects");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "xdplb");
    let json = ("content-type", "application/json");
    let default = headers.iter().all(|(name, _)| *name != json.0).then_some(&json);
    let request = headers
        .iter()
        .chain(default)
        .fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::new(body)).expect("a request");
    let answer = sender.send_request(request).await.expect("answers");
    let (parts, body) = answer.into_parts();
    Response::from_parts(parts, body.collect().await.expect("a body").to_bytes())
}

async fn answer(mut requests: mpsc::Receiver<control::Request>, told: mpsc::Sender<Change>) {
    while let Some(request) = requests.recv().await {
        match request {
            control::Request::Services(reply) => give(reply, Ok(versioned(vec![web()]))),
            control::Request::Service(name, reply) if name == "web" => {
                give(reply, Ok(versioned(web())));
            }
            control::Request::Service(name, reply) => {
                give(reply, Err(Refusal::NotFound(format!("there is no service {name}"))));
            }
            control::Request::Change(change, by, reply) => {
                let own = std::process::id();
                assert!(by.name.ends_with(&format!("pid {own})")), "{by:?}");
                assert_eq!(by.is_root, nix::unistd::geteuid().is_root());
                let known = change.service() == "web";
                let refusal = Refusal::NotFound(format!("no service {}", change.service()));
                told.send(change).await.expect("the test listens");
                let is_current = by.expected.refuse_stale(7);
                let done = is_current.map(|()| versioned(Some(web())));
                give(reply, if known { done } else { Err(refusal) });
            }
            control::Request::Stats(reply) => give(reply, Err(Refusal::Failed("broken".into()))),
            control::Request::Connections(_, reply) => {
                give(reply, Err(Refusal::Failed("no flow table".into())));
            }
            _ => {}
        }
    }
}

fn give<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    reply.send(answer).ok();
}

fn versioned<T>(value: T) -> Versioned<T> {
    Versioned { version: Some(7), value }
}

fn web() -> ServiceView {
    let backend = BackendView {
        address: "10.0.0.11:80".parse().expect("an address"),
        weight: 5,
        backup: false,
        admin: Admin::Draining,
        drain_until: None,
        health: Health::Up,
        since: Timestamp::UNIX_EPOCH,
        detail: "L4OK".to_owned(),
        in_ring: false,
        origin: None,
        last_check: None,
        unusable: Some("draining".to_owned()),
        effective_weight: 0.0,
        slow_start: None,
        refusing: false,
        active_connections: 1,
        connections_total: 2,
        packets_total: 3,
        bytes_total: 4,
    };
    ServiceView {
        name: "web".to_owned(),
        vip: "203.0.113.10:80".parse().expect("an address"),
        protocol: Protocol::Tcp,
        policy: Policy::default(),
        origins: [("mode".to_owned(), Origin::Default)].into(),
        warnings: Vec::new(),
        steps: Vec::new(),
        backends: vec![backend],
    }
}

#[tokio::test]
async fn a_service_has_the_shape_of_the_contract() {
    let answer = Testbed::new().await.send(Method::GET, "/v1/services/web", "").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let shown: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    let expected = serde_json::json!({
        "name": "web", "vip": "203.0.113.10:80", "protocol": "tcp", "mode": "nat",
        "scheduler": "round-robin",
        "health": {
            "type": "tcp", "interval": "2s", "timeout": "1s", "rise": 2, "fall": 3,
        },
        "timeouts": {
            "half_open": "10s", "established": "3h", "closing": "2m", "closed": "1m",
        },
        "min_active": 1, "min_capacity": "0%", "fail_open": "0%", "failback": "auto",
        "slow_start": "0s", "on_down": "keep", "on_refused": "retry",
        "origins": { "mode": "default" },
        "backends": [{
            "address": "10.0.0.11:80", "weight": 5, "backup": false, "admin": "draining",
            "health": "up", "since": "1970-01-01T00:00:00Z", "detail": "L4OK",
            "unusable": "draining", "in_ring": false, "effective_weight": 0.0, "refusing": false,
            "active_connections": 1, "connections_total": 2, "packets_total": 3, "bytes_total": 4,
        }],
    });
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn requests_of_the_client_reach_the_daemon() {
    let mut testbed = Testbed::new().await;
    let client = testbed.client();
    assert_eq!(client.services().await.expect("listed"), [web()]);
    let address = "10.0.0.12:80".parse().expect("an address");
    let new = NewBackend { address, weight: 3, backup: true };
    client.add("web", &new).await.expect("added");
    let admin = Some(Admin::Draining);
    let settings = Settings { weight: Some(7), admin, ..Settings::default() };
    client.set("web", address, &settings).await.expect("set");
    client.remove("web", "[2001:db8::1]:80".parse().expect("an address")).await.expect("removed");
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(testbed.changes.recv().await.expect("a change").to_string());
    }
    assert_eq!(told[0], "web: 10.0.0.12:80 added with weight 3");
    assert_eq!(told[1], "web: 10.0.0.12:80 set to weight 7, draining");
    assert_eq!(told[2], "web: [2001:db8::1]:80 removed");
}

#[tokio::test]
async fn missing_settings_of_a_new_backend_have_defaults() {
    let mut testbed = Testbed::new().await;
    let body = r#"{"address":"10.0.0.12:80"}"#;
    let answer = testbed.send(Method::POST, "/v1/services/web/backends", body).await;
    assert_eq!(answer.status(), 201);
    let change = testbed.changes.recv().await;
    let Some(Change::AddBackend { backend, .. }) = change else { panic!("{change:?}") };
    assert_eq!((backend.weight, backend.backup, backend.admin), (1, false, Admin::Enabled));
}

#[tokio::test]
async fn a_dry_run_answers_with_what_the_change_would_do_and_has_made_nothing() {
    let mut testbed = Testbed::new().await;
    let (service, backends) = ("/v1/services/web", "/v1/services/web/backends");
    let described = super::description();
    for (method, path, body, done) in [
        (Method::POST, "/v1/services", r#"{"name":"web","vip":"203.0.113.10:80"}"#, 201),
        (Method::PATCH, service, "{}", 200),
        (Method::DELETE, service, "", 204),
        (Method::POST, backends, r#"{"address":"10.0.0.12:80"}"#, 201),
    ] {
        let what = format!("{method} {path}");
        let answer = testbed.send(method.clone(), path, body).await;
        testbed.changes.recv().await.expect("asked for");
        assert_eq!(answer.status(), done, "{what}");
        let trial = testbed.send(method.clone(), &format!("{path}?dry_run=true"), body).await;
        testbed.changes.recv().await.expect("asked for");
        assert_eq!(trial.status(), StatusCode::OK, "{what}");
        let shown: ServiceView = serde_json::from_slice(trial.body()).expect("a service");
        assert_eq!(shown, web(), "{what}");
        let path = path.replace("web", "{name}");
        let responses = &described["paths"][&path][method.as_str().to_lowercase()]["responses"];
        for status in ["200".to_owned(), done.to_string()] {
            assert!(responses[&status].is_object(), "{what} {status}: {responses}");
        }
        assert!(responses["200"]["content"]["application/json"].is_object(), "{responses}");
    }
}

#[tokio::test]
async fn answers_carry_the_version_and_changes_may_ask_for_it() {
    let mut testbed = Testbed::new().await;
    let (service, backends) = ("/v1/services/web", "/v1/services/web/backends");
    let backend = "/v1/services/web/backends/10.0.0.11:80";
    for path in ["/v1/services", service, backends, backend] {
        let answer = testbed.send(Method::GET, path, "").await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert_eq!(answer.headers()["etag"], "\"7\"", "{path}");
    }
    let new = r#"{"address":"10.0.0.12:80"}"#;
    for (method, path, body) in [
        (Method::PATCH, service, "{}"),
        (Method::DELETE, service, ""),
        (Method::POST, "/v1/services", r#"{"name":"web","vip":"203.0.113.10:80"}"#),
        (Method::POST, backends, new),
        (Method::PATCH, backend, "{}"),
        (Method::DELETE, backend, ""),
    ] {
        for (tag, is_done) in [
            ("\"7\"", true),
            ("\"6\", \"7\"", true),
            ("*", true),
            ("\"6\"", false),
            ("W/\"7\"", false),
        ] {
            let headers = [("if-match", tag)];
            let answer =
                send_with(&testbed.socket(), &headers, method.clone(), path, body.into()).await;
            testbed.changes.recv().await.expect("asked for");
            let what = format!("{path} {tag}");
            if is_done {
                assert!(answer.status().is_success(), "{what}: {answer:?}");
                assert_eq!(answer.headers()["etag"], "\"7\"", "{what}");
                continue;
            }
            assert_eq!(answer.status(), StatusCode::PRECONDITION_FAILED, "{what}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{what}");
        }
    }
    let headers = [("if-match", "7")];
    let answer = send_with(&testbed.socket(), &headers, Method::PATCH, service, "{}".into()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "a tag has quotes");
}

#[tokio::test]
async fn backends_have_one_name_and_one_path() {
    let mut testbed = Testbed::new().await;
    let body = r#"{"name":"web","vip":"203.0.113.10:80","backends":[{"address":"10.0.0.12:80"}]}"#;
    let answer = testbed.send(Method::POST, "/v1/services", body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let Some(Change::AddService { keys, .. }) = testbed.changes.recv().await else {
        panic!("another")
    };
    assert_eq!(keys["backend"], serde_json::json!([{ "address": "10.0.0.12:80" }]));
    let answer = testbed.send(Method::POST, "/v1/services", r#"{"name":"web","backend":[]}"#).await;
    let problem: Problem = serde_json::from_slice(answer.body()).expect("a problem");
    assert!(problem.detail.contains("did you mean `backends`"), "{}", problem.detail);
    let service = testbed.send(Method::GET, "/v1/services/web", "").await;
    let service: Value = serde_json::from_slice(service.body()).expect("JSON");
    let listed = testbed.send(Method::GET, "/v1/services/web/backends", "").await;
    let listed: Value = serde_json::from_slice(listed.body()).expect("JSON");
    assert_eq!(service["backends"], listed);
    let one = testbed.send(Method::GET, "/v1/services/web/backends/10.0.0.11:80", "").await;
    assert_eq!(serde_json::from_slice::<Value>(one.body()).expect("JSON"), listed[0]);
    let none = testbed.send(Method::GET, "/v1/services/web/backends/10.0.0.99:80", "").await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_problem_points_to_the_key() {
    let testbed = Testbed::new().await;
    for (method, path, body, pointer) in [
        (Method::POST, "/v1/services/web/backends", r#"{"address":"10.0.0.1"}"#, "#/address"),
        (Method::PATCH, "/v1/services/web/backends/10.0.0.1:80", r#"{"weight":-1}"#, "#/weight"),
        (Method::POST, "/v1/services", r#"{"vip":"10.0.0.1:80"}"#, "#/name"),
        (Method::POST, "/v1/rollback", r#"{"version":"x"}"#, "#/version"),
    ] {
        let answer = testbed.send(method, path, body).await;
        let problem: Problem = serde_json::from_slice(answer.body()).expect(path);
        let pointers: Vec<_> = problem.errors.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{path}: {problem:?}");
    }
}

#[tokio::test]
async fn names_are_not_part_of_the_path() {
    let testbed = Testbed::new().await;
    for name in ["web?", "web#", "ä b", "..", "web/backends"] {
        let error = testbed.client().service(name).await.expect_err(name);
        assert_eq!(error.to_string(), format!("there is no service {name}"));
    }
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let testbed = Testbed::new().await;
    let backends = "/v1/services/web/backends";
    let backend = "/v1/services/web/backends/10.0.0.11:80";
    let cases = [
        (Method::GET, "/v1/nothing", "", 404, "unknown path"),
        (Method::DELETE, "/v1/status", "", 405, "does not support this method"),
        (Method::GET, "/v1/connections?state=open", "", 400, "`open` is no state"),
        (Method::GET, "/v1/connections?backend=10.0.0.11", "", 400, "backend: "),
        (Method::GET, "/v1/connections?client=web", "", 400, "client: `web` is no client"),
        (Method::GET, "/v1/connections?idle_over=5", "", 400, "idle_over: "),
        (Method::GET, "/v1/connections?limit=few", "", 400, "limit: "),
        (Method::GET, "/v1/connections", "", 500, "no flow table"),
        (Method::GET, "/v1/connections/count?clint=::1", "", 400, "clint"),
        (Method::GET, "/v1/services/nope", "", 404, "no service nope"),
        (Method::GET, "/v1/services/%ff", "", 400, "UTF-8"),
        (Method::POST, backends, "{", 400, "EOF"),
        (Method::POST, backends, "{}", 422, "address"),
        (Method::POST, backends, r#"{"address":"10.0.0.1:80","wieght":1}"#, 422, "wieght"),
        (
            Method::POST,
            backends,
            r#"{"address":"10.0.0.1:80","weight":70000}"#,
            422,
            "70000 is out of range: it is 0",
        ),
        (
            Method::PATCH,
            backend,
            r#"{"weight":-1}"#,
            422,
            "weight -1 is out of range: it is 0 to 65535",
        ),
        (Method::POST, backends, r#"{"address":"db:80"}"#, 422, "names are not looked up"),
        (Method::POST, "/v1/services/%ff/backends", "{}", 400, "UTF-8"),
        (Method::PATCH, backend, r#"{"admin":"asleep"}"#, 422, "asleep"),
        (Method::PATCH, "/v1/services/web/backends/here", "{}", 400, "the port is missing"),
        (Method::DELETE, "/v1/services/nope/backends/10.0.0.1:80", "", 404, "no service nope"),
        (Method::GET, "/v1/stats", "", 500, "broken"),
        (Method::GET, "/v1/status", "", 500, "stopping"),
        (Method::POST, "/v1/services", r#"{"vip":"10.0.0.1:80"}"#, 422, "no `name`"),
        (
            Method::POST,
            "/v1/services",
            r#"{"vip":"10.0.0.1:80","name":"x","vip":"10.0.0.2:80"}"#,
            422,
            "the key `vip` is given twice",
        ),
        (
            Method::POST,
            "/v1/services",
            r#"{"vip":"10.0.0.1:80","name":"x","health":{"type":"tcp","rise":1,"type":"tls"}}"#,
            422,
            "the key `type` is given twice",
        ),
        (
            Method::PATCH,
            "/v1/services/web",
            r#"{"backend":[{"weight":1,"weight":2}]}"#,
            422,
            "the key `weight` is given twice",
        ),
        (Method::POST, "/v1/plan", r#"{"text":""}"#, 422, "path"),
        (Method::POST, "/v1/rollback", r#"{"version":-1}"#, 422, "-1"),
        (Method::GET, "/v1/history/last", "", 400, "last"),
    ];
    for (method, path, body, status, word) in cases {
        let answer = testbed.send(method, path, body).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        let problem: Problem = serde_json::from_slice(answer.body()).expect(path);
        assert_eq!(problem.status, status, "{path}");
        assert!(problem.detail.contains(word), "{path}: {}", problem.detail);
    }
}

#[tokio::test]
async fn bodies_of_other_kinds_and_sizes_are_problem_documents_too() {
    let testbed = Testbed::new().await;
    let (path, body) = ("/v1/services/web/backends", r#"{"address":"10.0.0.12:80"}"#);
    let large = Bytes::from(vec![b' '; 2 << 20]);
    for (kind, body, status) in
        [("text/plain", Bytes::from(body), 415), ("application/json", large, 413)]
    {
        let headers = [("content-type", kind)];
        let answer = send_with(&testbed.socket(), &headers, Method::POST, path, body).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        let problem: Problem = serde_json::from_slice(answer.body()).expect("a problem");
        let Problem { r#type, title, detail, .. } = &problem;
        assert_eq!((r#type.as_str(), problem.status), ("about:blank", status), "{problem:?}");
        assert!(!title.is_empty() && !detail.is_empty(), "{problem:?}");
    }
}

#[tokio::test]
async fn bodies_other_than_objects_are_refused() {
    let mut testbed = Testbed::new().await;
    let backend = "/v1/services/web/backends/10.0.0.11:80";
    let routes = [
        (Method::POST, "/v1/services", r#"["name", "vip"]"#),
        (Method::PATCH, "/v1/services/web", r#"[["scheduler", "maglev"]]"#),
        (Method::POST, "/v1/services/web/backends", r#"["10.0.0.11:80", 1, false]"#),
        (Method::PATCH, backend, r#"[9, false, "draining", null]"#),
        (Method::POST, "/v1/plan", r#"["lb.toml", ""]"#),
        (Method::POST, "/v1/apply", r#"["lb.toml", ""]"#),
        (Method::POST, "/v1/rollback", "[1]"),
    ];
    for (method, path, array) in routes {
        for body in [array, "[]", "[{}]", "null", "true", "0", "\"\"", " \n[null]"] {
            let answer = testbed.send(method.clone(), path, body).await;
            let problem: Problem = serde_json::from_slice(answer.body()).expect(path);
            assert_eq!((problem.status, answer.status()), (422, StatusCode::UNPROCESSABLE_ENTITY));
            assert!(
                problem.detail.contains("expected a JSON object"),
                "{path}: {}",
                problem.detail
            );
        }
    }
    assert!(testbed.changes.try_recv().is_err(), "something was carried out");
}

#[tokio::test]
async fn a_refusal_reaches_the_client() {
    let refused: Result<Stats, _> = Testbed::new().await.client().stats().await;
    let Err(ClientError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, problem.detail.as_str()), (500, "broken"));
}

#[tokio::test]
async fn the_socket_is_for_root_and_its_group_and_gone_at_the_end() {
    let testbed = Testbed::new().await;
    let socket = testbed.socket();
    let mode = fs::metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let second = listen(&socket).await.expect_err("one answers");
    assert!(second.to_string().contains("another daemon answers"), "{second}");
    drop(testbed.stopping);
    testbed.server.await.expect("no panic");
    let gone = fs::symlink_metadata(&socket).expect_err("gone");
    assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    let error = Client::new(socket).services().await.expect_err("nobody");
    assert!(matches!(error, ClientError::Absent { .. }), "{error}");
    assert!(error.to_string().contains("xdplb run -c FILE"), "{error}");
}

#[tokio::test]
async fn only_a_stale_socket_is_replaced() {
    let directory = TempDir::new().expect("a directory");
    let stale = directory.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("binds"));
    listen(&stale).await.expect("replaced");
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("written");
    let error = listen(&file).await.expect_err("not a socket");
    assert!(format!("{error:#}").contains("it is not a socket"), "{error:#}");
    assert_eq!(fs::read_to_string(&file).expect("still there"), "precious");
}

/// Returns a socket whose queue is full of these clients, none of which is accepted.
async fn busy_socket(path: &Path) -> (OwnedFd, Vec<UnixStream>) {
    let busy = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let busy = busy.expect("a socket");
    bind(busy.as_raw_fd(), &UnixAddr::new(path).expect("short")).expect("binds");
    nix::sys::socket::listen(&busy, Backlog::new(0).expect("valid")).expect("listens");
    let mut queue = Vec::new();
    while let Ok(client) = UnixStream::connect(path).await {
        queue.push(client);
    }
    (busy, queue)
}

/// The daemon hangs, and has more clients than its queue can hold.
#[tokio::test]
async fn the_socket_of_a_busy_daemon_is_not_replaced() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    let _busy = busy_socket(&path).await;
    let refused = listen(&path).await.expect_err("one listens");
    assert!(refused.to_string().contains("another daemon answers"), "{refused}");
    assert!(path.exists());
}

/// A busy daemon accepts its clients in turn.
#[tokio::test]
async fn a_client_waits_for_a_daemon_whose_queue_is_full() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("socket");
    let (busy, queue) = busy_socket(&path).await;
    let busy = std::os::unix::net::UnixListener::from(busy);
    let client = Client::new(path);
    let asking = client.services();
    tokio::pin!(asking);
    let early = timeout(Duration::from_millis(200), &mut asking).await;
    assert!(early.is_err(), "does not wait: {early:?}");
    let all = queue.len() + 1;
    let accepting = std::thread::spawn(move || {
        (0..all).for_each(|_| drop(busy.accept().expect("accepted")));
    });
    // The client was accepted, and sees that the connection has ended.
    let error = asking.await;
    accepting.join().expect("no panic");
    let error = error.expect_err("nobody answers");
    assert!(matches!(error, ClientError::Broken(_)), "{error}");
}

/// Checks every answer to a GET against the `OpenAPI` document.
#[tokio::test]
async fn answers_are_as_they_are_described() {
    let testbed = Testbed::new().await;
    let described = testbed.send(Method::GET, "/v1/openapi.json", "").await;
    let described: Value = serde_json::from_slice(described.body()).expect("JSON");
    assert!(described["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.len() >= 12, "{paths:?}");
    for (path, status) in [
        ("/v1/services", 200),
        ("/v1/services/{name}", 200),
        ("/v1/stats", 500),
        ("/v1/status", 500),
    ] {
        let answer = testbed.send(Method::GET, &path.replace("{name}", "web"), "").await;
        assert_eq!(answer.status(), status, "{path}");
        let (status, media) = match status {
            200 => ("200", "application/json"),
            _ => ("default", "application/problem+json"),
        };
        let mut schema =
            paths[path]["get"]["responses"][status]["content"][media]["schema"].clone();
        schema["components"] = described["components"].clone();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let body: Value = serde_json::from_slice(answer.body()).expect("JSON");
        validator.validate(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"));
    }
}
