//! Alert rules, and queries of the dashboard, of `contrib/`.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use serde_json::Value;

const CONTRIB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/");

/// Variables of the dashboard and Grafana's own, with the longer of two names first.
const VARIABLES: [(&str, &str); 7] = [
    ("$__rate_interval", "10s"),
    ("$__range_ms", "10000"),
    ("$__range_s", "10"),
    ("$__range", "10s"),
    ("$instance", ".+"),
    ("$service", ".+"),
    ("$backend", ".+"),
];

#[test]
#[ignore = "needs root"]
fn promtool_accepts_the_rules_and_the_configuration() {
    promtool(&["check", "rules"], "xdplb.rules.yml");
    promtool(&["check", "config"], "prometheus.yml");
}

#[test]
#[ignore = "needs root"]
fn alerts_fire_when_they_should_and_only_then() {
    promtool(&["test", "rules"], "xdplb.rules.test.yml");
}

#[test]
#[ignore = "needs root"]
fn every_alert_is_tested_firing_and_not_firing() {
    let mut untested = alerts();
    untested.sort_unstable();
    assert!(untested.len() > 20, "{untested:?}");
    let tests = fs::read_to_string(prometheus("xdplb.rules.test.yml")).expect("readable");
    let mut tested: BTreeMap<&str, [bool; 2]> = BTreeMap::new();
    for one in tests.split("- alertname: ").skip(1) {
        let name = one.lines().next().expect("a name");
        let fires = !one.contains("exp_alerts: []");
        tested.entry(name).or_default()[usize::from(fires)] = true;
    }
    untested.retain(|alert| tested.get(&**alert) != Some(&[true; 2]));
    assert_eq!(untested, [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn all_variables_of_the_dashboard_are_known() {
    for query in queries_of_dashboard() {
        let is_ours = ["xdplb_", "process_"].iter().any(|prefix| query.contains(prefix));
        assert!(is_ours && !query.contains('$'), "{query}");
    }
}

/// Returns the queries of the dashboard, for all services and backends.
pub(super) fn queries_of_dashboard() -> Vec<String> {
    let file = PathBuf::from(CONTRIB).join("grafana/xdplb.json");
    let text = fs::read_to_string(file).expect("readable");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().expect("a query"));
    queries.map(substituted).collect()
}

fn substituted(query: &str) -> String {
    let substitute = |query: String, (name, value): &(&str, &str)| query.replace(name, value);
    VARIABLES.iter().fold(query.to_owned(), substitute)
}

/// Returns the names of all alerts.
fn alerts() -> Vec<String> {
    let rules = fs::read_to_string(prometheus("xdplb.rules.yml")).expect("readable");
    let names = rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

fn prometheus(file: &str) -> PathBuf {
    PathBuf::from(CONTRIB).join("prometheus").join(file)
}

/// Runs promtool on a file, which it must find nothing wrong with.
fn promtool(arguments: &[&str], file: &str) {
    let mut promtool = Command::new("promtool");
    let output = promtool.args(arguments).arg(prometheus(file)).output().expect("promtool");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}
