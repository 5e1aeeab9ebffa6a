//! Problem documents.

use hyper::{Method, StatusCode, body::Bytes};

use lb_client::ClientError;
use lb_model::{Problem, views::Stats};

use super::{Testbed, send_with};

#[tokio::test]
async fn a_problem_points_to_the_key() {
    let testbed = Testbed::new().await;
    for (method, path, body, pointer) in [
        (Method::POST, "/v1/services/web/backends", r#"{"address":"10.0.0.1"}"#, "#/address"),
        (Method::PATCH, "/v1/services/web/backends/10.0.0.1:80", r#"{"weight":-1}"#, "#/weight"),
        (Method::POST, "/v1/services", r#"{"vip":"10.0.0.1:80"}"#, "#/name"),
        (Method::POST, "/v1/services/web/backends", r#"{"weight":1}"#, "#/address"),
        (Method::POST, "/v1/services/web/backends", r#"{"adress":"10.0.0.1:80"}"#, "#/adress"),
        (
            Method::POST,
            "/v1/services/web/backends",
            r#"{"address":"10.0.0.1:80","address":"10.0.0.2:80"}"#,
            "#/address",
        ),
        (
            Method::POST,
            "/v1/services",
            r#"{"name":"x","health":{"rise":1,"rise":2}}"#,
            "#/health/rise",
        ),
        (Method::POST, "/v1/rollback", r#"{"version":"x"}"#, "#/version"),
    ] {
        let answer = testbed.send(method, path, body).await;
        let problem: Problem = serde_json::from_slice(answer.body()).expect(path);
        let pointers: Vec<_> = problem.errors.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(pointers, [pointer], "{path}: {problem:?}");
    }
}

type Case = (Method, &'static str, &'static str, u16, &'static str);

/// Checks that requests are refused by a problem document with this status and these words.
async fn assert_refused(cases: impl IntoIterator<Item = Case>) {
    let testbed = Testbed::new().await;
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
async fn every_error_is_a_problem_document() {
    assert_refused([
        (Method::GET, "/v1/nothing", "", 404, "unknown path: "),
        (Method::DELETE, "/v1/status", "", 405, "/v1/status does not support DELETE: use GET"),
        (Method::GET, "/v1/connections?state=open", "", 400, "`open` is not a state"),
        (
            Method::GET,
            "/v1/connections?backend=10.0.0.11",
            "",
            400,
            "`backend` in the query is invalid: write ADDRESS:PORT",
        ),
        (Method::GET, "/v1/connections?client=web", "", 400, "`web` is not a client"),
        (
            Method::GET,
            "/v1/connections?idle_over=5",
            "",
            400,
            "`idle_over` in the query is invalid: write a duration",
        ),
        (
            Method::GET,
            "/v1/connections?limit=few",
            "",
            400,
            "`limit` in the query is invalid: give a whole number",
        ),
        (Method::GET, "/v1/connections", "", 500, "no flow table"),
        (Method::GET, "/v1/connections?sort=name", "", 400, "`sort` in the query is invalid"),
        (Method::GET, "/v1/connections?sort=age&limit=10001", "", 400, "give 10000 at most"),
        (Method::GET, "/v1/connections/clients?limit=10001", "", 400, "give 10000 at most"),
        (Method::DELETE, "/v1/connections", "", 400, "this would kill all connections"),
        (Method::DELETE, "/v1/connections?limit=1", "", 400, "give a filter"),
        (Method::DELETE, "/v1/connections?client=192.0.2.1", "", 500, "no flow table"),
        (Method::GET, "/v1/connections/count?clint=::1", "", 400, "did you mean `client`?"),
        (Method::GET, "/v1/services/nope", "", 404, "no service nope"),
        (Method::GET, "/v1/services/%ff", "", 400, "UTF-8"),
        (Method::DELETE, "/v1/services/nope/backends/10.0.0.1:80", "", 404, "no service nope"),
        (Method::GET, "/v1/stats", "", 500, "broken"),
        (Method::GET, "/v1/status", "", 500, "stopping"),
        (
            Method::GET,
            "/v1/history/18446744073709551616",
            "",
            400,
            "give a whole number from 0 to 18446744073709551615",
        ),
        (
            Method::GET,
            "/v1/history/last",
            "",
            400,
            "`version` in the path is `last`: give a whole number",
        ),
    ])
    .await;
}

#[tokio::test]
async fn every_invalid_body_is_a_problem_document() {
    let backends = "/v1/services/web/backends";
    let backend = "/v1/services/web/backends/10.0.0.11:80";
    assert_refused([
        (Method::POST, backends, "{", 400, "the body ends within its JSON"),
        (Method::POST, backends, "{}", 422, "`address` is missing: add it"),
        (
            Method::POST,
            backends,
            r#"{"address":"10.0.0.1:80","wieght":1}"#,
            422,
            "unknown key `wieght`: did you mean `weight`?",
        ),
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
        (
            Method::PATCH,
            backend,
            r#"{"admin":"asleep"}"#,
            422,
            "`admin` is \"asleep\": give one of `enabled`, `draining`, `disabled`",
        ),
        (Method::PATCH, "/v1/services/web/backends/here", "{}", 400, "the port is missing"),
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
        (Method::POST, "/v1/plan", r#"{"text":""}"#, 422, "`path` is missing: add it"),
        (
            Method::POST,
            "/v1/rollback",
            r#"{"version":-1}"#,
            422,
            "`version` is -1: give a whole number of at least 0",
        ),
    ])
    .await;
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
            assert!(problem.detail.contains("give a JSON object"), "{path}: {}", problem.detail);
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

/// Texts of the libraries that parse requests.
const LIBRARIES: [&str; 9] = [
    "Failed to",
    "deserialize",
    "target type",
    " at line 1 column",
    "expected struct",
    "invalid type",
    "invalid digit",
    "unknown field",
    "-->",
];

#[tokio::test]
async fn details_are_plain_sentences() {
    let mut testbed = Testbed::new().await;
    let (services, web) = ("/v1/services", "/v1/services/web");
    let (backends, backend) =
        ("/v1/services/web/backends", "/v1/services/web/backends/10.0.0.1:80");
    let bodies = [
        "",
        "{",
        "[]",
        "nonsense",
        "{} {}",
        "{\"a\":1,}",
        "null",
        r#"{"nope":1}"#,
        r#"{"weight":"x"}"#,
        r#"{"weight":1.5}"#,
        r#"{"weight":[1]}"#,
        r#"{"address":7}"#,
        r#"{"address":null}"#,
        r#"{"backup":"yes"}"#,
        r#"{"admin":7}"#,
        r#"{"admin":"draining","until":"tomorrow"}"#,
        r#"{"version":"x"}"#,
        r#"{"path":1,"text":2}"#,
        r#"{"name":7}"#,
        r#"{"\ud800":1}"#,
    ];
    let routes = [
        (Method::POST, services),
        (Method::PATCH, web),
        (Method::POST, backends),
        (Method::PATCH, backend),
        (Method::POST, "/v1/plan"),
        (Method::POST, "/v1/rollback"),
        (Method::PUT, services),
        (Method::GET, "/v1/connections?limit=-1"),
        (Method::GET, "/v1/connections?limit=1&limit=2"),
        (Method::GET, "/v1/connections?nope"),
        (Method::DELETE, "/v1/services/web?dry_run=maybe"),
        (Method::PATCH, "/v1/services/web/backends/nope"),
        (Method::GET, "/v1/history/-1"),
    ];
    for (method, path) in routes {
        for body in bodies {
            // Some are valid for some paths: make room for their changes.
            while testbed.changes.try_recv().is_ok() {}
            let answer = testbed.send(method.clone(), path, body).await;
            let what = format!("{method} {path} {body}: {answer:?}");
            if !answer.status().is_client_error() {
                continue;
            }
            let problem: Problem = serde_json::from_slice(answer.body()).expect(&what);
            let texts = problem.errors.iter().map(|error| &error.detail).chain([&problem.detail]);
            for text in texts {
                assert!(!LIBRARIES.iter().any(|words| text.contains(words)), "{what}");
                assert!(text.contains(": ") && !text.contains('\n'), "no fix: {what}");
            }
        }
    }
}

#[tokio::test]
async fn other_methods_are_answered_with_those_of_the_path() {
    let testbed = Testbed::new().await;
    for (path, methods) in [
        ("/v1/services", "GET or POST"),
        ("/v1/services/web", "GET or PATCH or DELETE"),
        ("/v1/openapi.json", "GET"),
        ("/v1/apply", "POST"),
    ] {
        let answer = testbed.send(Method::PUT, path, "{}").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let problem: Problem = serde_json::from_slice(answer.body()).expect(path);
        let words = |text: &str| {
            let mut words: Vec<_> = text.split(" or ").map(ToOwned::to_owned).collect();
            words.sort_unstable();
            words
        };
        let (_, named) = problem.detail.split_once(": use ").expect(path);
        assert_eq!(words(named), words(methods), "{path}: {}", problem.detail);
        assert!(answer.headers().contains_key("allow"), "{path}");
    }
}
