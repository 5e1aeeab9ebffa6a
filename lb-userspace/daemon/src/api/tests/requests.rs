//! Requests and answers.

use hyper::{Method, StatusCode};
use serde_json::Value;

use crate::api::description;
use lb_model::{Admin, Change, NewBackend, Problem, Settings, views::ServiceView};

use super::{Testbed, send_with, web};

#[tokio::test]
async fn a_service_has_the_documented_shape() {
    let answer = Testbed::new().await.send(Method::GET, "/v1/services/web", "").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let shown: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    let expected = serde_json::json!({
        "name": "web", "vip": "203.0.113.10:80", "protocol": "tcp", "mode": "nat",
        "scheduler": "round-robin", "turns": "strict",
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
async fn a_dry_run_returns_the_service_as_after_the_change() {
    let mut testbed = Testbed::new().await;
    let (service, backends) = ("/v1/services/web", "/v1/services/web/backends");
    let described = description();
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
async fn answers_have_an_entity_tag_that_changes_may_require() {
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
async fn backends_have_one_name_in_bodies_and_one_path() {
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
async fn names_are_encoded_in_paths() {
    let testbed = Testbed::new().await;
    for name in ["web?", "web#", "ä b", "..", "web/backends"] {
        let error = testbed.client().service(name).await.expect_err(name);
        assert_eq!(error.to_string(), format!("there is no service {name}"));
    }
}

/// Checks every answer to a GET against the `OpenAPI` document.
#[tokio::test]
async fn answers_match_the_openapi_document() {
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
