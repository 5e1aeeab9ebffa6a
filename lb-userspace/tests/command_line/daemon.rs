//! A fake daemon behind the real API.

use std::future::pending;

use lb_config::desired::{Document, steps};
use lb_daemon::{
    api,
    control::{self, Question, Reply, Request, Running, VersionDetail},
};
use lb_model::{
    Admin, Change, Health, Policy, Protocol, Refusal,
    views::{BackendView, Origin, Plan, ServiceView, Step, VersionView},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
};

use crate::{Ended, xdplb};

/// Version of its document.
pub(super) const VERSION: u64 = 7;

/// Number of connections of a backend whose check has a hostile result.
pub(super) const FORGED: u64 = 1 << 40;

/// Control characters that must reach no terminal.
pub(super) const HOSTILE: &str = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}\r\x7f\nforged";

/// Text of files that the daemon would not refuse.
pub(super) const FITTING: &str = "eth1";

/// A fake daemon with one service, which has one connection less in each answer.
pub(super) struct FakeDaemon {
    pub(super) directory: TempDir,
    _runtime: Runtime,
    _stopping: watch::Sender<()>,
}

impl FakeDaemon {
    pub(super) fn with_connections(active: u64) -> Self {
        Self::start(|runtime, requests, questions| {
            runtime.spawn(answer(requests, active));
            runtime.spawn(show(questions, active));
        })
    }

    /// One that answers nothing.
    pub(super) fn silent() -> Self {
        Self::start(|runtime, requests, questions| {
            runtime.spawn(async move {
                let _open = (requests, questions);
                pending::<()>().await;
            });
        })
    }

    fn start(
        answer: impl FnOnce(&Runtime, mpsc::Receiver<Request>, mpsc::Receiver<Question>),
    ) -> Self {
        let directory = TempDir::new().expect("a directory");
        let runtime = Runtime::new().expect("a runtime");
        let (stopping, stopped) = watch::channel(());
        let (handle, requests, questions) = control::channel(8);
        let listener = runtime.block_on(api::listen(&directory.path().join("socket")));
        runtime.spawn(api::serve(listener.expect("listens"), handle, stopped));
        answer(&runtime, requests, questions);
        Self { directory, _runtime: runtime, _stopping: stopping }
    }

    pub(super) fn xdplb(&self, arguments: &[&str]) -> Ended {
        xdplb(&[&["--socket", &self.socket()], arguments].concat())
    }

    pub(super) fn socket(&self) -> String {
        self.directory.path().join("socket").display().to_string()
    }
}

pub(super) async fn answer(mut requests: mpsc::Receiver<Request>, active: u64) {
    while let Some(request) = requests.recv().await {
        match request {
            Request::Change(Change::AddBackend { .. }, _, reply) => {
                give(reply, Err(Refusal::Conflict("it is there already".to_owned())));
            }
            Request::Change(Change::AddService { name, .. }, _, reply) => {
                give(reply, Err(Refusal::Invalid(format!("{name}{HOSTILE}"))));
            }
            Request::Change(Change::RemoveService { .. }, _, reply) => {
                give(reply, Ok(versioned(None)));
            }
            Request::Change(change, _, reply) => {
                let steps = if is_enabled(&change) { Vec::new() } else { vec![step()] };
                give(reply, Ok(versioned(Some(ServiceView { steps, ..web(active) }))));
            }
            Request::History(reply) => give(reply, Ok(vec![version()])),
            Request::Plan(submission, reply) | Request::Apply(submission, reply) => {
                let fits = submission.proposal.text.contains(FITTING);
                let refused = plan().refused.filter(|_| !fits);
                give(reply, Ok(Plan { refused, ..plan() }));
            }
            Request::Version(number, reply) => {
                let view = VersionView { version: number, by: "alice".to_owned(), ..version() };
                let steps = Some(steps(&Document::default(), &document()));
                give(reply, Ok(VersionDetail { view, steps, document: document() }));
            }
            Request::Rollback(_, _, reply) => give(reply, Err(Refusal::Conflict(HOSTILE.into()))),
            Request::ChangeRole(..) => panic!("there are no groups"),
            Request::BeginTrace(..) | Request::EndTrace(_) => panic!("nothing is prepared"),
        }
    }
}

async fn show(mut questions: mpsc::Receiver<Question>, mut active: u64) {
    while let Some(question) = questions.recv().await {
        match question {
            Question::Services(reply) => {
                give(reply, Ok(versioned(vec![web(active)])));
                active = active.saturating_sub(1);
            }
            Question::Service(name, reply) if name == "web" => {
                give(reply, Ok(versioned(web(active))));
                active = active.saturating_sub(1);
            }
            Question::Service(name, reply) => {
                give(reply, Err(Refusal::NotFound(format!("there is no service {name}"))));
            }
            Question::Running(reply) => {
                let text = "interfaces = [\"eth0\"]\nsnat_ports = \"2000-3000\"".to_owned();
                let config = lb_config::read("lb.toml".to_owned(), text).expect("valid").config;
                give(reply, Ok(Running { version: 1, config, document: document() }));
            }
            _ => {}
        }
    }
}

/// Returns true if a change makes no difference.
pub(super) fn is_enabled(change: &Change) -> bool {
    matches!(change, Change::SetBackend { settings, .. } if settings.admin == Some(Admin::Enabled))
}

pub(super) fn step() -> Step {
    let step = json!({
        "kind": "change", "service": "web", "key": "scheduler", "from": "round-robin", "to": "maglev",
    });
    serde_json::from_value(step).expect("a step")
}

pub(super) fn version() -> VersionView {
    let at = "2026-01-02T03:04:05Z".parse().expect("a time");
    VersionView { version: 1, at, by: HOSTILE.to_owned(), what: HOSTILE.to_owned() }
}

/// A service whose check sends a password.
pub(super) fn document() -> Document {
    let health = json!({ "type": "send-expect", "send": "AUTH secret", "contains": "OK" });
    let backend = json!([{ "address": "10.0.0.11:80", "weight": 5 }]);
    let keys = json!({ "vip": "203.0.113.10:80", "health": health, "backend": backend });
    let keys = keys.as_object().expect("keys");
    Document::of([lb_config::service("web", keys, &Policy::default()).expect("valid")])
}

pub(super) fn plan() -> Plan {
    Plan {
        version: 1,
        steps: vec![step()],
        refused: Some(HOSTILE.to_owned()),
        warnings: vec![HOSTILE.to_owned()],
    }
}

pub(super) fn versioned<T>(value: T) -> control::Versioned<T> {
    control::Versioned { version: Some(VERSION), value }
}

pub(super) fn give<T>(reply: Reply<T>, answer: Result<T, Refusal>) {
    reply.send(answer).ok();
}

pub(super) fn web(active_connections: u64) -> ServiceView {
    let backend = BackendView {
        address: "10.0.0.11:80".parse().expect("an address"),
        weight: 5,
        backup: true,
        admin: Admin::Draining,
        drain_until: None,
        health: Health::Up,
        since: "2026-01-02T03:04:05Z".parse().expect("a time"),
        detail: if active_connections > FORGED / 2 { HOSTILE } else { "L4OK" }.to_owned(),
        refusing: false,
        in_ring: false,
        origin: Some(Origin::Command),
        last_check: None,
        unusable: Some("draining".to_owned()),
        effective_weight: 0.0,
        slow_start: None,
        active_connections,
        connections_total: 17,
        packets_total: 1_234,
        bytes_total: 56_789,
    };
    ServiceView {
        name: "web".to_owned(),
        vip: "203.0.113.10:80".parse().expect("an address"),
        protocol: Protocol::Tcp,
        policy: Policy::default(),
        origins: [("scheduler".to_owned(), Origin::File)].into(),
        warnings: Vec::new(),
        steps: Vec::new(),
        backends: vec![backend],
    }
}
