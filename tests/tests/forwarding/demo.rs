//! The demo, as a user runs it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;

const XDPLB: &str = lb_tests::balancer::BINARY;

/// Time that a demo may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(XDPLB);
    command.arg("demo").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn json(demo: Command) -> Value {
    let mut demo = demo;
    let output = demo.stderr(Stdio::inherit()).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON alone")
}

/// Returns the number of namespaces that this demo has made.
fn namespaces(prefix: &str) -> usize {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let is_of_it = |name: &str| name.rsplit_once('-').is_some_and(|(its, _)| its == prefix);
    names.filter(|entry| entry.file_name().to_str().is_some_and(is_of_it)).count()
}

#[test]
#[ignore = "needs root"]
fn demos_do_not_hurt_each_other_and_one_that_is_kept_stays_until_it_is_stopped() {
    let first = demo(&["-o", "json"]).spawn().expect("the binary runs");
    let second = json(demo(&["--keep", "-o", "json"]));
    let first = first.wait_with_output().expect("ended");
    assert!(first.status.success(), "{first:?}");
    let first: Value = serde_json::from_slice(&first.stdout).expect("JSON alone");
    for report in [&first, &second] {
        assert_eq!(report["failed"], 0, "{report}");
    }
    assert!(first.get("kept").is_none(), "{first}");
    let kept = &second["kept"];
    let prefix = kept["prefix"].as_str().expect("a name").to_owned();
    let client = kept["client"].as_str().expect("a name");
    let url = format!("http://{}/", second["vip"].as_str().expect("an address"));
    let curl = ["netns", "exec", client, "curl", "-sSf", "-m", "5", &url];
    let answer = Command::new("ip").args(curl).output().expect("ip runs");
    assert!(answer.stdout.starts_with(b"backend"), "{answer:?}");

    let (before, third) = (namespaces(&prefix), json(demo(&["-o", "json"])));
    assert_eq!(third["failed"], 0, "{third}");
    assert_eq!(namespaces(&prefix), before, "a later demo leaves the kept one alone");

    let stop = kept["stop"].as_str().expect("a command");
    assert!(stop.ends_with(&format!(" demo --stop {prefix}")), "{stop}");
    let other = if prefix == name(1) { name(2) } else { name(1) };
    demo(&["--stop", &other]).status().expect("the binary runs");
    assert_eq!(namespaces(&prefix), before, "only the named demo is stopped");
    let stopped = json(demo(&["--stop", &prefix, "-o", "json"]));
    assert_eq!(stopped["removed"], serde_json::json!([prefix]), "{stopped}");
    assert_eq!(namespaces(&prefix), 0);
}

/// SIGHUP is sent to the process group that the terminal's shell has started.
#[test]
#[ignore = "needs root"]
fn a_demo_whose_terminal_ends_removes_all_that_it_made() {
    let output = Path::new("/run").join(format!("demo-test-{}", std::process::id()));
    let mut demo = demo(&[]);
    demo.stdout(File::create(&output).expect("a file")).process_group(0);
    let before = (1..=16).map(|nth| namespaces(&name(nth))).collect::<Vec<_>>();
    let mut demo = demo.spawn().expect("the binary runs");
    let now = || (1..=16).map(|nth| namespaces(&name(nth))).collect::<Vec<_>>();
    let deadline = Instant::now() + PATIENCE;
    while now().iter().sum::<usize>() < before.iter().sum::<usize>() + 6 {
        assert!(Instant::now() < deadline, "the demo's namespaces must come: {:?}", now());
        sleep(Duration::from_millis(50));
    }
    let group = Pid::from_raw(demo.id().cast_signed());
    killpg(group, Signal::SIGHUP).expect("there");
    let status = demo.wait().expect("ended");
    fs::remove_file(&output).expect("there");
    assert!(!status.success() && status.code().is_some(), "{status}");
    assert_eq!(now(), before);
}

fn name(nth: usize) -> String {
    if nth == 1 { "demo".to_owned() } else { format!("demo{nth}") }
}
