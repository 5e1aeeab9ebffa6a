//! Metrics in a real Prometheus.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use aya::sys::{Stats, enable_stats};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Site, backend, vip},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    contrib::queries_of_dashboard,
    watched::{HTTP, get, site, watched},
};

/// Where Prometheus serves HTTP, on the balancer's host.
const PROMETHEUS: &str = "127.0.0.1:9090";

#[test]
#[ignore = "needs root"]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let Site { balancer: _balancer, servers: _servers, testbed } = site("");
    visit(&testbed, 1);
    let answer = get(&testbed, "/metrics", &[]);
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    promtool.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(answer.body.as_bytes()).expect("read");
    drop(input);
    let output = promtool.wait_with_output().expect("ended");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
#[ignore = "needs root"]
fn counters_are_those_of_the_commands() {
    let Site { balancer, servers: _servers, testbed } = site("");
    visit(&testbed, 30);
    let first = backend(&testbed, 0);
    let of_first = |name: &str| format!("xdplb_{name}{{service=\"web\",backend=\"{first}\"}}");
    let before = samples(&testbed);
    assert_eq!(before[&of_first("backend_connections_total")], "10");
    assert_eq!(before["xdplb_service_connections_total{service=\"web\"}"], "30");
    assert_eq!(before[&of_first("backend_up")], "1.0");
    balancer.done(&["backend", "remove", "web", &first.to_string()]);
    balancer.wait_for("the end of the removed backend's connections", || {
        let retired = balancer.done(&["stats", "-o", "json"]);
        !retired.contains(&first.to_string())
    });
    let after = samples(&testbed);
    assert!(after.keys().all(|key| !key.contains(&first.to_string())), "it has vanished");
    let total = |samples: &BTreeMap<String, String>| -> u64 {
        samples["xdplb_service_connections_total{service=\"web\"}"].parse().expect("a number")
    };
    assert_eq!(total(&after), 30, "a counter must not go back");
    balancer.stop(Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &watched(&testbed, ""));
    balancer.wait_for_ring_of(2);
    assert_eq!(total(&samples(&testbed)), 30, "not by a restart either");
    balancer.done(&["service", "remove", "web"]);
    balancer.wait_for("the end of its samples", || {
        samples(&testbed).keys().all(|key| !key.contains("web"))
    });
}

#[test]
#[ignore = "needs root"]
fn a_prometheus_scrapes_it_and_every_query_of_the_dashboard_has_data() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let _counting = enable_stats(Stats::RunTime).expect("root");
    let _prometheus = Prometheus::start(&testbed);
    balancer.wait_for("scrapes with rates", || {
        visit(&testbed, 1);
        let rate = "sum(rate(xdplb_service_connections_total[10s])) > 0";
        query(&testbed, rate).is_some_and(|found| !found.is_empty())
    });
    let queries = queries_of_dashboard();
    assert!(queries.len() > 10);
    for one in queries {
        balancer.wait_for(&format!("data of {one}"), || {
            visit(&testbed, 1);
            query(&testbed, &one).is_some_and(|found| !found.is_empty())
        });
    }
}

/// Sends requests to the service.
fn visit(testbed: &Testbed, count: u64) {
    let answers = requests::send(&testbed.clients()[0], vip(testbed), count);
    assert!(!answers.contains_key(""), "{answers:?}");
}

/// Returns the values of all samples, by name and labels.
fn samples(testbed: &Testbed) -> BTreeMap<String, String> {
    let text = get(testbed, "/metrics", &[]).body;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| {
        let (key, value) = line.rsplit_once(' ').expect("a sample");
        (key.to_owned(), value.to_owned())
    });
    samples.collect()
}

/// Returns what a query finds, or None before Prometheus answers.
fn query(testbed: &Testbed, query: &str) -> Option<Vec<Value>> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--get", "--data-urlencode", &format!("query={query}")]);
    curl.arg(format!("http://{PROMETHEUS}/api/v1/query")).stdout(Stdio::piped());
    let output = testbed.balancer().spawn(&mut curl).expect("curl").wait_with_output();
    let answer: Value = serde_json::from_slice(&output.expect("ended").stdout).ok()?;
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].as_array().cloned()
}

/// A Prometheus on the balancer's host.
struct Prometheus(Child);

impl Prometheus {
    fn start(testbed: &Testbed) -> Self {
        let directory = testbed.directory().join("prometheus");
        fs::create_dir_all(&directory).expect("a directory");
        let file = directory.join("prometheus.yml");
        let config = format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: xdplb\n    \
             static_configs:\n      - targets: [\"{HTTP}\"]\n"
        );
        fs::write(&file, config).expect("written");
        Self(Self::command(&directory, &file, testbed))
    }

    fn command(directory: &Path, file: &Path, testbed: &Testbed) -> Child {
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address={PROMETHEUS}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        testbed.balancer().spawn(&mut command).expect("prometheus")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
