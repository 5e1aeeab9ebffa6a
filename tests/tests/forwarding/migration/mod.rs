//! Restarts with other maps, while connections go on.

mod accounting;
mod layouts;
mod limits;
mod previous;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread::{scope, sleep},
    time::Duration,
};

use aya::maps::{Array, Map, MapData};
use lb_common::LAYOUT;
use lb_model::views::Stats;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer, service},
    conversations::{self, End, hold},
    requests,
    servers::{Server, nginx_everywhere},
    site::{Arms, empty_testbed, text, vip},
};

const ECHO: u16 = 7_000;
/// Number of conversations that a migration must not end.
const CONVERSATIONS: usize = 30;

/// Limits, each set different from the one before: of the flow table alone, without it, and of all maps.
const LIMITS: [&str; 4] = [
    "limits.flows = 200_000",
    "limits.flows = 200_000\nlimits.services = 100\nlimits.backends = 200",
    "limits.flows = 20_000\nlimits.services = 5_000\nlimits.backends = 20_000",
    "limits.flows = 100_000",
];

/// Makes a testbed with a web server and an echo server in each backend.
fn stage() -> (Testbed, Vec<Server>) {
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    testbed.backends().iter().for_each(|host| conversations::serve(host, ECHO));
    (testbed, servers)
}

fn echo(testbed: &Testbed) -> SocketAddr {
    (testbed.vip(), ECHO).into()
}

/// Returns the configuration of both services with these limits.
fn with(testbed: &Testbed, limits: &str) -> String {
    let backends: Vec<_> =
        testbed.backends().iter().map(|host| ((host.address, ECHO).into(), 1)).collect();
    let text = text(testbed, &[1; 3]) + &service("echo", echo(testbed), &backends);
    text.replace("limits.flows = 100_000", limits)
}

fn start(testbed: &Testbed, limits: &str) -> Balancer {
    let balancer = Balancer::start(testbed, &with(testbed, limits));
    balancer.wait_for_ring_of(6);
    balancer
}

fn log(testbed: &Testbed) -> String {
    fs::read_to_string(testbed.directory().join("log")).expect("a log")
}

/// Returns the directory of a layout's pins.
fn pins(testbed: &Testbed, layout: u32) -> PathBuf {
    testbed.bpffs().join(format!("xdplb/v{layout}"))
}

/// Returns the names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let found = fs::read_dir(directory).expect("a directory");
    found.map(|entry| entry.expect("read").file_name().into_string().expect("text")).collect()
}

/// Returns the names of the pins of maps that were replaced.
fn formers(testbed: &Testbed, layout: u32) -> Vec<String> {
    let mut names = names(&pins(testbed, layout));
    names.retain(|name| name.starts_with("former_"));
    names
}

/// Returns the word that is set while programs take unknown connections for ones that have not moved yet.
fn migrating(testbed: &Testbed) -> Array<MapData, u64> {
    let pin = pins(testbed, LAYOUT).join("MIGRATING");
    Map::Array(MapData::from_pin(pin).expect("pinned")).try_into().expect("its shape")
}

fn set_migrating(testbed: &Testbed, word: u64) {
    migrating(testbed).set(0, word, 0).expect("written");
}

fn assert_is_over(testbed: &Testbed) {
    assert_eq!(formers(testbed, LAYOUT), [""; 0]);
    assert_eq!(migrating(testbed).get(&0, 0).expect("read"), 0);
}

fn stats(balancer: &Balancer) -> Stats {
    serde_json::from_str(&balancer.done(&["stats", "-o", "json"])).expect("statistics")
}

/// Disturbs conversations and requests, none of which may be lost.
fn undisturbed<T>(testbed: &Testbed, disturb: impl FnOnce() -> T) -> T {
    let goes_on = AtomicBool::new(true);
    let client = &testbed.clients()[0];
    let ((disturbed, answers), talks) = hold(client, echo(testbed), CONVERSATIONS, || {
        scope(|scope| {
            let going = || goes_on.load(Ordering::Relaxed);
            let to = vip(testbed);
            let sender = scope.spawn(move || requests::send_while(client, to, going));
            let end = End(&goes_on);
            let disturbed = disturb();
            drop(end);
            (disturbed, sender.join().expect("no panic"))
        })
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert!(answers.values().sum::<u64>() > 100, "{answers:?}");
    assert_eq!(answers.get(""), None, "{answers:?}");
    disturbed
}

/// Runs a daemon for so long, kills it, and returns what it has logged.
fn live_for(life: Duration, testbed: &Testbed, text: &str) -> String {
    let file = testbed.directory().join("killed.toml");
    fs::write(&file, text).expect("written");
    let mut command = Command::new(BINARY);
    command.arg("run").arg("-c").arg(&file).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut daemon = testbed.balancer().spawn(&mut command).expect("started");
    sleep(life);
    daemon.kill().expect("a child");
    let output = daemon.wait_with_output().expect("ended");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
