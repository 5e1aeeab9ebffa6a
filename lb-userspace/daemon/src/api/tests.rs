mod fuzz;
mod limits;
mod problems;
mod requests;
mod round_trip;
mod schema;
mod socket;

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, body::Bytes, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use lb_client::Client;
use lb_model::{
    Admin, Change, Health, Policy, Protocol, Refusal,
    views::{BackendView, Origin, ServiceView},
};
use tempfile::TempDir;
use tokio::{
    net::UnixStream,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{listen, serve};
use crate::control::{self, Question, Reply, Versioned};

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
        let (handle, requests, questions) = control::channel(8);
        let (told, changes) = mpsc::channel(8);
        let (stopping, stopped) = watch::channel(());
        let server = tokio::spawn(serve(listener, handle, stopped));
        tokio::spawn(answer(requests, told));
        tokio::spawn(show(questions));
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
        let control::Request::Change(change, by, reply) = request else { continue };
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
}

async fn show(mut questions: mpsc::Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        match question {
            Question::Services(reply) => give(reply, Ok(versioned(vec![web()]))),
            Question::Service(name, reply) if name == "web" => give(reply, Ok(versioned(web()))),
            Question::Service(name, reply) => {
                give(reply, Err(Refusal::NotFound(format!("there is no service {name}"))));
            }
            Question::Stats(reply) => give(reply, Err(Refusal::Failed("broken".into()))),
            Question::Connections(_, reply) => {
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
