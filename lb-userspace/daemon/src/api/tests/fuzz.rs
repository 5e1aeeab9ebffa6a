//! Any request gets an error answer or leads to a consistent document.

use std::sync::{Arc, Mutex};

use hyper::{Method, body::Bytes};
use lb_config::desired::{Author, Desired, Document, edited, violation};
use lb_model::{Change, Policy, Problem};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{
    runtime,
    sync::{mpsc, watch},
};

use super::{give, send};
use crate::{
    api::{listen, serve},
    control::{self, Request},
};

/// Document of a fake daemon's loop.
type Shared = Arc<Mutex<Document>>;

fn web() -> Document {
    let backends: Vec<_> =
        (1..=3).map(|nth| json!({ "address": format!("10.0.0.{nth}:80") })).collect();
    let keys = json!({ "vip": "203.0.113.10:80", "backend": backends });
    let add =
        Change::AddService { name: "web".to_owned(), keys: keys.as_object().expect("one").clone() };
    edited(&Document::default(), &add, &Policy::default()).expect("valid")
}

async fn edit(mut requests: mpsc::Receiver<Request>, document: Shared) {
    while let Some(request) = requests.recv().await {
        let Request::Change(change, _, reply) = request else { continue };
        let mut document = document.lock().expect("no panic");
        match edited(&document, &change, &Policy::default()) {
            Ok(edited) => {
                *document = edited;
                give(reply, Ok(super::versioned(None)));
            }
            Err(refusal) => give(reply, Err(refusal)),
        }
    }
}

type Sent = (Method, String, Bytes);

/// Generates a valid request with one key set to any value.
fn likely() -> impl Strategy<Value = Sent> {
    let one_of = |count: u8| (1..=count).prop_map(|nth| format!("10.0.0.{nth}:80"));
    let name = || prop::sample::select(vec!["web", "db"]);
    let of = |name: &str| format!("/v1/services/{name}");
    let request = prop_oneof![
        (name(), one_of(9)).prop_map(|(name, vip)| {
            let body = json!({ "name": name, "vip": vip });
            (Method::POST, "/v1/services".to_owned(), body)
        }),
        (name(), scheduler()).prop_map(move |(name, scheduler)| {
            (Method::PATCH, of(name), json!({ "scheduler": scheduler }))
        }),
        name().prop_map(move |name| (Method::DELETE, of(name), json!({}))),
        (name(), one_of(3), any::<u16>()).prop_map(move |(name, address, weight)| {
            let body = json!({ "address": address, "weight": weight });
            (Method::POST, of(name) + "/backends", body)
        }),
        (name(), one_of(3), any::<u16>()).prop_map(move |(name, address, weight)| {
            let path = format!("{}/backends/{address}", of(name));
            (Method::PATCH, path, json!({ "weight": weight }))
        }),
        (name(), one_of(3)).prop_map(move |(name, address)| {
            (Method::DELETE, format!("{}/backends/{address}", of(name)), json!({}))
        }),
    ];
    let changes = prop::collection::vec((key(), value()), 0..2);
    (request, changes).prop_map(|((method, path, mut body), changes)| {
        body.as_object_mut().expect("an object").extend(changes);
        (method, path, body.to_string().into())
    })
}

fn scheduler() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["round-robin", "least-connections", "maglev", "nearest"])
}

/// Any method, path and body.
fn unlikely() -> impl Strategy<Value = Sent> {
    let methods = vec![Method::GET, Method::POST, Method::PATCH, Method::DELETE];
    (prop::sample::select(methods), path(), body())
}

fn path() -> impl Strategy<Value = String> {
    let service = "(web|db|%00|%2e|[a-z%]{1,5})";
    let backend = "(10\\.0\\.0\\.[12]:80|\\[::1\\]:80|[0-9a-f.:]{1,9})";
    prop_oneof![
        Just("/v1/services".to_owned()),
        service.prop_map(|service| format!("/v1/services/{service}")),
        service.prop_map(|service| format!("/v1/services/{service}/backends")),
        (service, backend).prop_map(|(name, at)| format!("/v1/services/{name}/backends/{at}")),
    ]
}

fn key() -> impl Strategy<Value = String> {
    const KNOWN: &[&str] = &[
        "name",
        "vip",
        "scheduler",
        "mode",
        "health",
        "type",
        "interval",
        "timeout",
        "rise",
        "path",
        "status",
        "expect",
        "timeouts",
        "established",
        "backend",
        "backends",
        "address",
        "weight",
        "backup",
        "admin",
        "until",
        "min_active",
        "fail_open",
        "slow_start",
    ];
    prop_oneof![
        20 => prop::sample::select(KNOWN).prop_map(ToOwned::to_owned),
        1 => "\\PC{0,4}",
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "web",
        "db",
        "10.0.0.1:80",
        "10.0.0.2:80",
        "10.0.0.1",
        "0.0.0.0:0",
        "maglev",
        "http",
        "draining",
        "2s",
        "99999999999h",
        "30%",
        "500%",
        "200-299",
        "(",
        "/",
        "9999-12-31T23:59:59Z",
    ];
    prop_oneof![
        8 => prop::sample::select(WORDS).prop_map(Value::from),
        2 => (-1_i64..4).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => "\\PC{0,8}".prop_map(Value::from),
    ]
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), values), 0..5)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()))
}

/// Generates JSON with known keys and words.
fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 5, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), object(inner)]
    })
}

/// Generates an object, possibly truncated.
fn body() -> impl Strategy<Value = Bytes> {
    let text = (object(value()), prop::option::weighted(0.1, any::<prop::sample::Index>()));
    text.prop_map(|(value, cut)| {
        let mut text = value.to_string().into_bytes();
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len()));
        }
        text.into()
    })
}

async fn hold_together(requests: Vec<Sent>) -> Result<(), TestCaseError> {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("socket");
    let listener = listen(&socket).await.expect("listens");
    let (handle, asked, _) = control::channel(8);
    let document = Arc::new(Mutex::new(web()));
    let (_stopping, stopped) = watch::channel(());
    let server = tokio::spawn(serve(listener, handle, stopped));
    let editor = tokio::spawn(edit(asked, Arc::clone(&document)));
    for (method, path, body) in requests {
        let before = document.lock().expect("no panic").clone();
        let answer = send(&socket, method.clone(), &path, body.clone()).await;
        let now = document.lock().expect("no panic").clone();
        if answer.status().is_success() {
            prop_assert!(now.services().all(|service| violation(&now, service).is_none()));
            continue;
        }
        let problem: Problem = serde_json::from_slice(answer.body()).expect("a problem");
        prop_assert_eq!(problem.status, answer.status().as_u16());
        prop_assert!(!problem.detail.is_empty(), "{} {}: {:?}", method, path, body);
        prop_assert!(before == now, "{} {}: {:?}", method, path, body);
    }
    prop_assert!(!server.is_finished() && !editor.is_finished());
    let document = document.lock().expect("no panic").clone();
    keep_and_read(&directory, &document).await
}

/// Checks that the journal returns an accepted document unchanged.
async fn keep_and_read(directory: &TempDir, document: &Document) -> Result<(), TestCaseError> {
    let author = Author { by: "test".to_owned(), what: "all of it".to_owned(), file: None };
    let directory = directory.path().join("state");
    let mut desired = Desired::open(&directory, 0).expect("a journal");
    desired.record(document.clone(), author).await.expect("recorded");
    drop(desired);
    let read = Desired::open(&directory, 0).expect("a journal");
    prop_assert!(read.document() == Some(document));
    Ok(())
}

proptest! {
    #[test]
    fn no_request_is_half_applied(
        requests in prop::collection::vec(prop_oneof![3 => likely(), 1 => unlikely()], 1..24),
    ) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(hold_together(requests))?;
    }
}
