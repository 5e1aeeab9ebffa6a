//! The API's description of itself, compared with what the daemon accepts and answers.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Arms, Site, empty_testbed, site, text, vip},
};
use serde_json::{Value, json};

const SERVICE: &str = "/v1/services/{name}";
const GROUP: &str = "/v1/groups/{name}";
const BACKENDS: &str = "/v1/services/{name}/backends";
const BACKEND: &str = "/v1/services/{name}/backends/{address}";
const CONNECTIONS: &str = "/v1/connections";
const EXPLAIN: &str = "/v1/explain";
/// Does not end by itself.
const TRACE: &str = "/v1/trace";

/// Returns the status of the response, and its body or the first line of it.
fn ask(balancer: &Balancer, method: &str, path: &str, body: &Value) -> (String, Value) {
    let path = path.replace("{version}", "1").replace("{address}", "10.0.0.12:81");
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--write-out", "\n%{http_code}", "--request"]);
    command.args([&method.to_uppercase(), "--header", "Content-Type: application/json"]);
    command.args(["--data", &body.to_string(), "--unix-socket"]).arg(balancer.socket());
    let output = command.arg(format!("http://xdplb{path}")).output().expect("installed");
    assert!(output.status.success(), "{path}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let (answer, status) = text.rsplit_once('\n').expect("a status");
    let first = answer.lines().next().unwrap_or("null");
    // A body that is not JSON is a file.
    let answer = serde_json::from_str(first).unwrap_or_else(|_| first.into());
    (status.to_owned(), answer)
}

/// Returns the first line of a trace.
fn first_of_trace(balancer: &Balancer) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--no-buffer", "--max-time", "30", "--unix-socket"]);
    curl.arg(balancer.socket()).arg(format!("http://xdplb{TRACE}"));
    let mut curl = curl.stdout(Stdio::piped()).spawn().expect("installed");
    let mut line = String::new();
    BufReader::new(curl.stdout.take().expect("piped")).read_line(&mut line).expect("text");
    // It would go on until it is left.
    curl.kill().expect("a child");
    curl.wait().expect("a child");
    serde_json::from_str(&line).expect("an object")
}

/// Fails unless the value conforms to the described content of a body or response.
fn hold(described: &Value, content: &Value, value: &Value, what: &str) {
    let types = content.as_object().unwrap_or_else(|| panic!("{what} is not described"));
    let mut schema = types.values().next().expect("a media type")["schema"].clone();
    schema["components"] = described["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.validate(value).unwrap_or_else(|error| panic!("{what}: {error} in {value}"));
}

/// Returns the described operations that change something, as method and path.
fn writes(described: &Value) -> BTreeSet<(&str, &str)> {
    let paths = described["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().expect("operations").keys();
        methods.map(move |method| (method.as_str(), path.as_str()))
    });
    operations.filter(|(method, _)| *method != "get").collect()
}

#[test]
#[ignore = "needs root"]
fn all_that_can_be_read_is_as_it_is_described() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 3);
    assert_eq!(answers.len(), 3, "{answers:?}");
    let (_, described) = ask(&balancer, "get", "/v1/openapi.json", &json!(null));
    let paths = described["paths"].as_object().expect("paths");
    let read = paths.iter().filter(|(_, operations)| operations["get"].is_object());
    assert_eq!(read.clone().count(), 17);
    for (path, operations) in read {
        let content = &operations["get"]["responses"]["200"]["content"];
        if path == TRACE {
            hold(&described, content, &first_of_trace(&balancer), path);
            continue;
        }
        let named = path.replace("{name}", "web").replace("{address}", "10.0.0.11:80");
        let named = named.replace("{version}", "1");
        let named = match path.as_str() {
            EXPLAIN => {
                format!("{named}?from={}:1&to={}", testbed.clients()[0].address, vip(&testbed))
            }
            _ => named,
        };
        let (status, answer) = ask(&balancer, "get", &named, &json!(null));
        assert_eq!(status, "200", "{path}: {answer}");
        hold(&described, content, &answer, path);
    }
}

#[test]
#[ignore = "needs root"]
fn all_that_can_be_changed_is_as_it_is_described() {
    let testbed = empty_testbed(Arms::Two);
    let group = format!(
        "[[group]]\nname = \"db\"\nvips = [\"{}\"]\nsnat_addresses = [\"10.0.0.5\"]\n",
        testbed.vip()
    );
    let balancer = Balancer::start(&testbed, &(text(&testbed, &[1; 3]) + &group));
    let (_, described) = ask(&balancer, "get", "/v1/openapi.json", &json!(null));
    let text = fs::read_to_string(testbed.directory().join("xdplb.toml")).expect("a file");
    let proposal = json!({ "path": "xdplb.toml", "text": text });
    let vip = format!("{}:81", testbed.vip());
    let steps = [
        ("post", "/v1/services", json!({ "name": "db", "vip": vip, "health": { "type": "none" } })),
        ("patch", GROUP, json!({ "role": "active" })),
        ("patch", SERVICE, json!({ "scheduler": "maglev", "timeouts": { "closed": "5s" } })),
        ("post", BACKENDS, json!({ "address": "10.0.0.12:81", "weight": 2 })),
        ("patch", BACKEND, json!({ "admin": "draining", "until": "2100-01-01T00:00:00Z" })),
        ("post", "/v1/plan", proposal.clone()),
        ("delete", BACKEND, json!(null)),
        ("delete", SERVICE, json!(null)),
        ("delete", CONNECTIONS, json!(null)),
        ("post", "/v1/rollback", json!({})),
        ("post", "/v1/apply", proposal),
    ];
    let tried: BTreeSet<_> = steps.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(writes(&described), tried);
    for (method, path, body) in &steps {
        let what = format!("{method} {path}");
        let operation = &described["paths"][path][method];
        if !body.is_null() {
            hold(&described, &operation["requestBody"]["content"], body, &what);
        }
        let mut named = path.replace("{name}", "db");
        if *path == CONNECTIONS {
            named += "?client=198.51.100.7";
        }
        let (status, answer) = ask(&balancer, method, &named, body);
        let response = &operation["responses"][&status];
        assert!(response.is_object(), "{what}: {status}: {answer}");
        if !answer.is_null() {
            hold(&described, &response["content"], &answer, &what);
        }
        let (status, answer) =
            ask(&balancer, method, &path.replace("{name}", "nobody"), &json!([]));
        let response = &operation["responses"]["default"]["content"];
        assert!(status.starts_with('4') || !path.contains("name"), "{what}: {status}: {answer}");
        if status.starts_with('4') {
            hold(&described, response, &answer, &what);
        }
    }
}
