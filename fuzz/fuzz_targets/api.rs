//! Requests to the API, one after another: each is carried out in full, or refused with a reason
//! and without a change.
//!
//! An empty line separates requests. The first line of each is method and path, the rest is the
//! body.

#![no_main]

use std::cell::RefCell;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request},
};
use lb_config::desired::{Document, edited, steps, violation};
use lb_daemon::{api::unnamed, control};
use lb_model::{Policy, Problem, views::Plan};
use libfuzzer_sys::fuzz_target;
use tokio::{
    runtime::{self, Runtime},
    sync::mpsc,
};
use tower::ServiceExt as _;

/// Exceeded only by the answer that describes the API.
const LARGEST: usize = 16 << 20;

/// State that is made once: describing the API takes longer than many requests.
struct Made {
    runtime: Runtime,
    api: Router,
    asked: mpsc::Receiver<control::Request>,
}

impl Made {
    fn new() -> Self {
        let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
        let (handle, asked, _) = control::channel(8);
        Self { runtime, api: unnamed(handle), asked }
    }
}

thread_local! {
    static MADE: RefCell<Made> = RefCell::new(Made::new());
}

fuzz_target!(|input: &str| {
    MADE.with_borrow_mut(|Made { runtime, api, asked }| {
        let document = RefCell::new(Document::default());
        for request in input.split("\n\n").filter_map(request) {
            runtime.block_on(async {
                tokio::select! {
                    () = hold_together(api, request, &document) => {}
                    () = answer(asked, &document) => unreachable!("the API is there"),
                }
            });
        }
    });
});

fn request(text: &str) -> Option<Request<Body>> {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    let (method, path) = line.split_once(' ')?;
    let request = Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    request.body(Body::from(body.to_owned())).ok()
}

async fn hold_together(api: &Router, request: Request<Body>, document: &RefCell<Document>) {
    let before = document.borrow().clone();
    let what = format!("{} {}", request.method(), request.uri());
    // RFC 9110, section 9.3.2: the response to HEAD has no body.
    let is_head = request.method() == Method::HEAD;
    let Ok(answer) = api.clone().oneshot(request).await;
    let status = answer.status();
    let body = to_bytes(answer.into_body(), LARGEST).await.expect("a body");
    let now = document.borrow();
    if status.is_success() {
        assert!(now.services().all(|service| violation(&now, service).is_none()), "{what}");
        return;
    }
    assert!(before == *now, "{what}: refused, and half done");
    if is_head {
        return;
    }
    let problem: Problem = serde_json::from_slice(&body).expect("a problem document");
    assert_eq!(problem.status, status.as_u16(), "{what}");
    assert!(!problem.detail.is_empty(), "{what}");
}

/// Answers requests as the daemon's loop would.
async fn answer(requests: &mut mpsc::Receiver<control::Request>, document: &RefCell<Document>) {
    while let Some(request) = requests.recv().await {
        match request {
            control::Request::Change(change, _, reply) => {
                let edited = edited(&document.borrow(), &change, &Policy::default());
                let done = edited.map(|edited| {
                    *document.borrow_mut() = edited;
                    control::Versioned { version: Some(1), value: None }
                });
                reply.send(done).expect("the API waits");
            }
            control::Request::Plan(control::Submission { proposal, .. }, reply) => {
                let plan = plan(proposal, &document.borrow()).map(|(plan, _)| plan);
                reply.send(plan).expect("the API waits");
            }
            control::Request::Apply(control::Submission { proposal, .. }, reply) => {
                let plan = plan(proposal, &document.borrow());
                let done = plan.map(|(plan, new)| {
                    *document.borrow_mut() = new;
                    plan
                });
                reply.send(done).expect("the API waits");
            }
            // Simulates a daemon that is stopping.
            other => drop(other),
        }
    }
}

fn plan(
    lb_model::Proposal { path, text }: lb_model::Proposal,
    present: &Document,
) -> Result<(Plan, Document), lb_model::Refusal> {
    let loaded = lb_config::read(path, text);
    let loaded = loaded.map_err(|error| lb_model::Refusal::Invalid(format!("{error:#}")))?;
    let document = Document::of(loaded.config.services).with_orders_of(present);
    let plan =
        Plan { version: 1, steps: steps(present, &document), refused: None, warnings: Vec::new() };
    Ok((plan, document))
}
