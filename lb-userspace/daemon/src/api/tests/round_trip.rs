//! Changes with the bodies of answers.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use lb_model::{Admin, Change, Problem, Settings, views::BackendView};

use super::{super::tables::settings, Testbed, send, web};

const SERVICE: &str = "/v1/services/web";
const BACKEND: &str = "/v1/services/web/backends/10.0.0.11:80";

async fn shown(testbed: &Testbed, path: &str) -> Value {
    let answer = testbed.send(Method::GET, path, "").await;
    serde_json::from_slice(answer.body()).expect("JSON")
}

/// Returns the problem of a change, or None if it was accepted.
async fn problem(testbed: &Testbed, path: &str, body: &Value) -> Option<Problem> {
    let answer = send(&testbed.socket(), Method::PATCH, path, body.to_string().into()).await;
    if answer.status() == StatusCode::OK {
        return None;
    }
    Some(serde_json::from_slice(answer.body()).expect("a problem"))
}

#[tokio::test]
async fn a_service_can_be_sent_back_as_it_was_shown() {
    let mut testbed = Testbed::new().await;
    let mut body = shown(&testbed, SERVICE).await;
    body["scheduler"] = json!("maglev");
    body["origins"] = json!({ "mode": "file" });
    body["warnings"] = json!(["no backend takes connections"]);
    body["backends"][0]["active_connections"] = json!(99);
    assert_eq!(problem(&testbed, SERVICE, &body).await, None);
    let Some(Change::SetService { keys, .. }) = testbed.changes.recv().await else {
        panic!("another change")
    };
    for key in ["name", "protocol", "origins", "backends", "warnings"] {
        assert!(!keys.contains_key(key), "{key}: {keys:?}");
    }
    assert_eq!((&keys["scheduler"], &keys["vip"]), (&json!("maglev"), &json!("203.0.113.10:80")));
}

#[tokio::test]
async fn what_a_change_cannot_change_is_refused_if_it_differs() {
    let mut testbed = Testbed::new().await;
    let body = shown(&testbed, SERVICE).await;
    for (pointer, value, fault) in [
        ("/name", json!("other"), "#/name"),
        ("/protocol", json!("udp"), "#/protocol"),
        ("/backends", json!([]), "#/backends"),
        ("/backends", json!("none"), "#/backends"),
        ("/backends/0/weight", json!(6), "#/backends"),
        ("/backends/0/admin", json!("enabled"), "#/backends"),
    ] {
        let mut changed = body.clone();
        *changed.pointer_mut(pointer).expect(pointer) = value;
        let problem = problem(&testbed, SERVICE, &changed).await.expect(pointer);
        assert_eq!((problem.status, problem.errors.len()), (422, 1), "{problem:?}");
        assert_eq!(problem.errors[0].pointer, fault, "{problem:?}");
        assert!(problem.detail.contains("cannot be changed here: "), "{problem:?}");
    }
    assert!(testbed.changes.try_recv().is_err(), "something was carried out");
}

#[tokio::test]
async fn changed_backends_may_be_those_of_an_older_answer() {
    let testbed = Testbed::new().await;
    let mut body = shown(&testbed, SERVICE).await;
    body["backends"] = json!([]);
    let problem = problem(&testbed, SERVICE, &body).await.expect("refused");
    assert!(problem.detail.contains("may have changed since it was read: read it again"));
}

/// Sends a backend's answer back with another admin state. Returns what is to be set, or the fault.
fn sent_back(shown: &BackendView, admin: Admin) -> Result<Settings, Problem> {
    let Value::Object(mut keys) = json!(shown) else { panic!("no object") };
    keys.insert("admin".to_owned(), json!(admin));
    settings(keys, shown.address, Some(shown)).map_err(|failed| failed.0)
}

#[test]
fn every_admin_state_follows_every_other_by_an_edited_answer() {
    let until = Some("2026-01-31T12:00:00Z".parse().expect("a time"));
    let states = [
        (Admin::Enabled, None),
        (Admin::Draining, None),
        (Admin::Draining, until),
        (Admin::Disabled, None),
    ];
    for (before, drain_until) in states {
        let shown = BackendView { admin: before, drain_until, ..web().backends.remove(0) };
        for (after, _) in states {
            let settings = sent_back(&shown, after).unwrap_or_else(|one| panic!("{one:?}"));
            let until = drain_until.filter(|_| after == Admin::Draining);
            assert_eq!((settings.admin, settings.until), (Some(after), until), "{before} {after}");
        }
    }
}

#[test]
fn an_end_of_draining_is_refused_under_the_name_that_was_sent() {
    let shown = web().backends.remove(0);
    for body in [
        json!({ "admin": "enabled", "drain_until": "2026-01-31T12:00:00Z" }),
        json!({ "drain_until": "2026-01-31T12:00:00Z" }),
        json!({ "admin": "draining", "drain_until": "soon" }),
        json!({ "admin": "draining", "drain_until": 5 }),
    ] {
        let Value::Object(keys) = &body else { panic!("no object") };
        let refused = settings(keys.clone(), shown.address, Some(&shown)).expect_err("refused").0;
        assert_eq!(refused.errors[0].pointer, "#/drain_until", "{body}");
        assert!(refused.detail.starts_with("`drain_until` is "), "{body}: {}", refused.detail);
    }
}

#[tokio::test]
async fn state_that_a_change_of_a_backend_would_set_is_named() {
    let testbed = Testbed::new().await;
    let mut body = shown(&testbed, BACKEND).await;
    for (health, warnings) in [
        ("up", json!(null)),
        ("down", json!(["`health` is state, which a change does not set: it stays \"up\""])),
    ] {
        body["health"] = json!(health);
        let text = body.to_string().into();
        let answer = send(&testbed.socket(), Method::PATCH, BACKEND, text).await;
        let answer: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(answer["warnings"], warnings);
    }
}

#[tokio::test]
async fn a_backend_can_be_sent_back_as_it_was_shown() {
    let mut testbed = Testbed::new().await;
    let mut body = shown(&testbed, BACKEND).await;
    body["drain_until"] = json!("2026-01-31T12:00:00Z");
    assert_eq!(problem(&testbed, BACKEND, &body).await, None);
    let Some(Change::SetBackend { settings, .. }) = testbed.changes.recv().await else {
        panic!("another change")
    };
    let until = Some("2026-01-31T12:00:00Z".parse().expect("a time"));
    let (weight, backup, admin) = (Some(5), Some(false), Some(Admin::Draining));
    assert_eq!(settings, Settings { weight, backup, admin, until });
    body["address"] = json!("10.0.0.12:80");
    let problem = problem(&testbed, BACKEND, &body).await.expect("another address");
    assert_eq!(problem.errors[0].pointer, "#/address", "{problem:?}");
}
