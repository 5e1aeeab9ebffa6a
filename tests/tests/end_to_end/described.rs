//! The API's description of itself, held against what the daemon answers.

use std::process::Command;

use lb_tests::{balancer::Balancer, requests};
use serde_json::Value;

use crate::bed::{Arms, Site, site, vip};

fn get(balancer: &Balancer, path: &str) -> Value {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--unix-socket"]).arg(balancer.socket());
    let output = command.arg(format!("http://xdplb{path}")).output().expect("installed");
    assert!(output.status.success(), "{path}: {output:?}");
    let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
    serde_json::from_slice(first).expect("JSON")
}

#[test]
#[ignore = "needs root"]
fn all_that_can_be_read_is_as_it_is_described() {
    let Site { balancer, servers: _servers, bed } = site(Arms::Two, [1; 3]);
    let answers = requests::send(&bed.clients()[0], vip(&bed), 3);
    assert_eq!(answers.len(), 3, "{answers:?}");
    let described = get(&balancer, "/v1/openapi.json");
    let paths = described["paths"].as_object().expect("paths");
    let mut read = 0;
    for (path, operations) in paths {
        let ok = &operations["get"]["responses"]["200"]["content"];
        let Some((_, content)) = ok.as_object().and_then(|types| types.iter().next()) else {
            continue;
        };
        let mut schema = content["schema"].clone();
        schema["components"] = described["components"].clone();
        let path = path.replace("{name}", "web").replace("{version}", "1");
        let answer = get(&balancer, &path);
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        validator.validate(&answer).unwrap_or_else(|error| panic!("{path}: {error} in {answer}"));
        read += 1;
    }
    assert_eq!(read, 8);
}
