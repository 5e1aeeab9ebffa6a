//! The code accepts exactly what the `OpenAPI` document allows.

use jsonschema::Validator;
use lb_config::desired::{Document, edited};
use lb_model::{Change, Policy, Scheduler, views::BackendView};
use serde_json::{Map, Value, json};

use super::web;
use crate::api::described::description;

/// Valid and invalid values of string keys.
const TEXTS: &[&str] = &[
    "",
    " ",
    "web",
    "a.b_c-1",
    "a b",
    "\u{e4}",
    "0%",
    "100%",
    "101%",
    "7 %",
    "007%",
    "+5%",
    "-1%",
    "5",
    "10.0.0.1:80",
    "10.0.0.1:0",
    "10.0.0.1:65535",
    "10.0.0.1:65536",
    "10.0.0.1:080",
    "10.0.0.1:+80",
    "10.0.0.1",
    "10.0.0.256:80",
    "010.0.0.1:80",
    "127.0.0.1:80",
    "0.0.0.0:80",
    "0.0.0.1:80",
    "224.0.0.1:80",
    "239.1.2.3:80",
    "240.0.0.1:80",
    "255.255.255.255:80",
    "[::1]:80",
    "host:80",
    "10.0.0.1:80/tcp",
    "10.0.0.1:80/udp",
    "10.0.0.1:80/tcp/tcp",
    "GET",
    "G T",
    "/",
    "/a?b=c",
    "a/b",
    "/a b",
    "200",
    "200-299,401",
    "99",
    "1000",
    "200-",
    "200,",
    "PING\\r\\n",
    "\\x0a",
    "\\q",
    "\\",
];

/// Durations and other strings, with true if allowed.
const PERIODS: &[(&str, bool)] = &[
    ("1ms", true),
    ("500ms", true),
    ("2s", true),
    ("90s", true),
    ("1h 30m", true),
    ("7d", true),
    ("6d 23h 59m 59s", true),
    ("168h", false),
    ("159h", true),
    ("0s", false),
    ("0ms", false),
    ("8d", false),
    ("1", false),
    ("s", false),
    ("-1s", false),
    ("1 week", true),
    ("9999m", true),
    ("10081m", false),
    ("99999999ms", true),
    ("999999999ms", false),
    ("1y", false),
    ("", false),
    ("2 seconds", true),
    ("1h30m", true),
    ("00d", false),
];

fn described() -> Value {
    description()
}

fn validator(name: &str) -> Validator {
    let described = described();
    let mut schema = described["components"]["schemas"][name].clone();
    schema["components"] = described["components"].clone();
    jsonschema::validator_for(&schema).expect("a schema")
}

/// Returns a new service with one key, dotted, and the other keys that it needs.
fn service_with(key: &str, value: &Value) -> Value {
    let mut body = json!({ "name": "web", "vip": "203.0.113.10:80" });
    match key.split_once('.') {
        None => body[key] = value.clone(),
        Some(("backends", inner)) => {
            let mut backend = json!({ "address": "10.0.0.11:80" });
            backend[inner] = value.clone();
            body["backends"] = json!([backend]);
        }
        Some((table, inner)) => {
            body[table] = json!({});
            if table == "health" {
                body[table] = needs(inner);
            }
            body[table][inner] = value.clone();
        }
    }
    body
}

/// Returns the other keys of a check that uses this one.
fn needs(key: &str) -> Value {
    match key {
        "method" | "path" | "host" | "status" | "expect" | "contains" => json!({ "type": "http" }),
        "send" => json!({ "type": "send-expect", "contains": "x" }),
        "verify" | "sni" | "ca" => json!({ "type": "tls" }),
        "interval" => json!({ "timeout": "1ms" }),
        "timeout" | "fast_interval" => json!({ "interval": "7d" }),
        "command" => json!({ "type": "exec" }),
        _ => json!({}),
    }
}

/// Returns true if the API accepts this body.
fn is_read(body: &Value) -> bool {
    let mut keys: Map<_, _> = body.as_object().expect("an object").clone();
    let Ok(name) = crate::api::tables::name(&mut keys) else { return false };
    if crate::api::tables::rename_backends(&mut keys).is_err() {
        return false;
    }
    lb_config::service(&name, &keys, &Policy::default()).is_ok()
}

/// Returns the keys of a new service, dotted, with their schemas.
fn keys() -> Vec<(String, Value)> {
    let schema = described()["components"]["schemas"]["NewService"].clone();
    let mut all = Vec::new();
    for (key, of_key) in schema["properties"].as_object().expect("keys") {
        let table = of_key["properties"].as_object();
        let table = table.or_else(|| of_key["items"]["properties"].as_object());
        match table {
            Some(table) => {
                all.extend(
                    table.iter().map(|(inner, one)| (format!("{key}.{inner}"), one.clone())),
                );
            }
            None => all.push((key.clone(), of_key.clone())),
        }
    }
    all
}

#[test]
fn bounds_of_integers_are_those_of_the_code() {
    let validator = validator("NewService");
    let mut count = 0;
    for (key, schema) in keys().into_iter().filter(|(_, schema)| schema["type"] == "integer") {
        let [least, most] = ["minimum", "maximum"].map(|bound| {
            schema[bound].as_i64().unwrap_or_else(|| panic!("{key} has no {bound}: {schema}"))
        });
        for number in [least, most, least - 1, most + 1] {
            let body = service_with(&key, &json!(number));
            let is_allowed = (least..=most).contains(&number);
            assert_eq!(validator.is_valid(&body), is_allowed, "the schema of {key}: {number}");
            assert_eq!(is_read(&body), is_allowed, "the code for {key}: {number}");
        }
        count += 1;
    }
    assert!(count >= 5, "only {count} integers");
}

#[test]
fn patterns_of_texts_are_those_of_the_code() {
    let validator = validator("NewService");
    let mut count = 0;
    let is_text = |schema: &Value| schema["pattern"].is_string() && schema["format"] != "period";
    for (key, _) in keys().into_iter().filter(|(_, schema)| is_text(schema)) {
        for text in TEXTS {
            let body = service_with(&key, &json!(text));
            let (allowed, read) = (validator.is_valid(&body), is_read(&body));
            assert_eq!(allowed, read, "{key} = {text:?}: schema and code");
        }
        count += 1;
    }
    assert!(count >= 8, "only {count} texts");
}

#[test]
fn schedulers_have_the_names_of_the_code() {
    let unknown = serde_json::from_value::<Scheduler>(json!("")).expect_err("no name").to_string();
    let names: Vec<_> = unknown.split('`').skip(3).step_by(2).collect();
    assert!(names.contains(&"maglev") && names.contains(&"wlc"), "{unknown}");
    let validator = validator("NewService");
    for name in names.into_iter().chain(["", "nearest", "RR"]) {
        let body = service_with("scheduler", &json!(name));
        assert_eq!(validator.is_valid(&body), is_read(&body), "{name}: schema and code");
    }
    let offered = lb_config::reference::words("scheduler");
    assert!(
        !offered.iter().any(|word| word == "rr"),
        "completions have one name of each: {offered:?}"
    );
}

#[test]
fn exactly_the_durations_that_the_schema_allows_are_read() {
    let validator = validator("NewService");
    let mut count = 0;
    for (key, _) in keys().into_iter().filter(|(_, schema)| schema["format"] == "period") {
        for (text, is_allowed) in PERIODS {
            let body = service_with(&key, &json!(text));
            let is_none = key == "slow_start" && *text == "0s";
            let is_allowed = *is_allowed || is_none || (key == "slow_start" && *text == "0ms");
            assert_eq!(validator.is_valid(&body), is_allowed, "the schema of {key}: {text:?}");
            assert!(!is_allowed || is_read(&body), "the code for {key}: {text:?}");
        }
        count += 1;
    }
    assert!(count >= 7, "only {count} times");
}

#[test]
fn settings_of_backends_are_those_of_the_code() {
    let service = json!({ "vip": "203.0.113.10:80", "backend": [{ "address": "10.0.0.11:80" }] });
    let keys = service.as_object().expect("one");
    let document =
        Document::of([lb_config::service("web", keys, &Policy::default()).expect("valid")]);
    let schema = validator("BackendChanges");
    let drain_until = Some("2026-01-01T00:00:00Z".parse().expect("a time"));
    let shown = BackendView { drain_until, ..web().backends.remove(0) };
    for body in [
        json!({}),
        json!({ "weight": 1 }),
        json!({ "weight": 65_535 }),
        json!({ "weight": 65_536 }),
        json!({ "weight": -1 }),
        json!({ "admin": "draining", "until": "2026-01-01T00:00:00Z" }),
        json!({ "admin": "disabled", "until": "2026-01-01T00:00:00Z" }),
        json!({ "until": "2026-01-01T00:00:00Z" }),
        json!({ "until": null }),
        json!({ "admin": "draining", "drain_until": "2026-01-01T00:00:00Z" }),
        json!({ "admin": "disabled", "drain_until": "2026-01-01T00:00:00Z" }),
        json!({ "health": "up", "in_ring": false, "packets_total": 7 }),
        json!({ "admin": "asleep" }),
        json!({ "other": 1 }),
    ] {
        let address = "10.0.0.11:80".parse().expect("an address");
        let keys: Map<_, _> = body.as_object().expect("an object").clone();
        let settings = crate::api::tables::settings(keys, address, Some(&shown));
        let is_read = settings.is_ok_and(|settings| {
            let change = Change::SetBackend { service: "web".to_owned(), address, settings };
            edited(&document, &change, &Policy::default()).is_ok()
        });
        assert_eq!(schema.is_valid(&body), is_read, "{body}");
    }
}

#[test]
fn queries_have_no_null_and_integers_have_bounds() {
    let described = described();
    let paths = described["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|path| path.as_object().expect("operations").values());
    let parameters = operations.flat_map(|one| one["parameters"].as_array().into_iter().flatten());
    for parameter in parameters {
        let schema = &parameter["schema"];
        assert!(!schema["type"].is_array(), "{parameter}");
        if schema["type"] == "integer" {
            assert!(schema["maximum"].is_u64(), "{parameter}");
        }
    }
}
