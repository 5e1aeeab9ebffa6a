//! Restarts with other limits, while connections go on.

use std::{
    fs,
    net::SocketAddr,
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
    balancer::{BINARY, Balancer, configuration, detach, service},
    conversations::{self, End, hold},
    requests,
    servers::{Server, attempt, nginx_everywhere},
    site::{Arms, empty_testbed, text, vip},
};
use nix::sys::signal::Signal;

const ECHO: u16 = 7_000;
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

/// Returns the names of the pins of maps that were replaced.
fn formers(testbed: &Testbed) -> Vec<String> {
    let pins = fs::read_dir(testbed.bpffs().join(format!("xdplb/v{LAYOUT}"))).expect("pins");
    let names = pins.map(|pin| pin.expect("read").file_name().into_string().expect("text"));
    names.filter(|name| name.starts_with("former_")).collect()
}

/// Returns the word that is set while programs take unknown connections for ones that have not moved yet.
fn migrating(testbed: &Testbed) -> Array<MapData, u64> {
    let pin = testbed.bpffs().join(format!("xdplb/v{LAYOUT}/MIGRATING"));
    Map::Array(MapData::from_pin(pin).expect("pinned")).try_into().expect("its shape")
}

fn set_migrating(testbed: &Testbed, word: u64) {
    migrating(testbed).set(0, word, 0).expect("written");
}

fn assert_is_over(testbed: &Testbed) {
    assert_eq!(formers(testbed), [""; 0]);
    assert_eq!(migrating(testbed).get(&0, 0).expect("read"), 0);
}

/// Returns the number of connections that both services have had.
fn connections(balancer: &Balancer) -> u64 {
    let stats: Stats =
        serde_json::from_str(&balancer.done(&["stats", "-o", "json"])).expect("statistics");
    let backends = stats.services.iter().flat_map(|service| &service.backends);
    backends.map(|backend| backend.connections).sum()
}

#[test]
#[ignore = "needs root"]
fn established_connections_go_on_under_load_while_limits_change() {
    let (testbed, _servers) = stage();
    let mut balancer = start(&testbed, "limits.flows = 100_000");
    let goes_on = AtomicBool::new(true);
    let client = &testbed.clients()[0];
    let ((balancer, answers), talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        scope(|scope| {
            let going = || goes_on.load(Ordering::Relaxed);
            let to = vip(&testbed);
            let sender = scope.spawn(move || requests::send_while(client, to, going));
            let end = End(&goes_on);
            for limits in LIMITS {
                let before = connections(&balancer);
                balancer.stop(Signal::SIGTERM);
                sleep(Duration::from_millis(200));
                balancer = start(&testbed, limits);
                let after = connections(&balancer);
                assert!(after >= before, "{limits}: {after} connections, and {before} before");
                assert_is_over(&testbed);
                sleep(Duration::from_millis(300));
            }
            drop(end);
            (balancer, sender.join().expect("no panic"))
        })
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert!(answers.values().sum::<u64>() > 500, "{answers:?}");
    assert_eq!(answers.get(""), None, "{answers:?}");
    let log = log(&testbed);
    assert_eq!(log.matches(" connections to a flow table for ").count(), 3, "{log}");
    assert_eq!(log.matches("connections stay in their flow table").count(), 1, "{log}");
    assert!(!log.contains("and left"), "{log}");
    assert_eq!(balancer.status().flows.capacity, 100_000);
}

/// Connections last over a daemon that was killed at any moment of the migration.
#[test]
#[ignore = "needs root"]
fn a_killed_daemon_is_followed_by_one_that_goes_on() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    let client = &testbed.clients()[0];
    let (left, talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        let left = (0..).step_by(10).map(Duration::from_millis).map(|life| {
            let log = live_for(life, &testbed, &with(&testbed, LIMITS[2]));
            (!formers(&testbed).is_empty(), log.contains("ready"))
        });
        let left = left.take_while(|(_, is_ready)| !is_ready).filter(|(is_left, _)| *is_left);
        let left = left.count();
        start(&testbed, LIMITS[2]).stop(Signal::SIGTERM);
        left
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert!(left > 0, "no daemon was killed in between");
    assert_is_over(&testbed);
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

/// Adds the interface `spare`, a veth with too few queues for its peer, which does not support native XDP.
fn add_generic_interface(testbed: &Testbed) {
    let add = "ip link add spare numrxqueues 2 numtxqueues 2 type veth peer name spare-peer \
               numrxqueues 2 numtxqueues 2 && ip link set spare up && ip link set spare-peer up && \
               ethtool -L spare rx 1";
    let added = attempt(testbed.balancer(), "sh", &["-c", add]);
    assert!(added.status.success(), "{added:?}");
}

/// The other interfaces must not be left with different tables.
#[test]
#[ignore = "needs root"]
fn an_interface_that_cannot_be_attached_to_does_not_stop_a_migration() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    add_generic_interface(&testbed);
    let client = &testbed.clients()[0];
    let ((), talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        let text = with(&testbed, LIMITS[2]).replace("\"eth1\"]", "\"spare\", \"eth1\"]");
        let refused = Balancer::refused(&testbed, &format!("xdp_mode = \"native\"\n{text}"));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("cannot attach to spare in native mode"), "{said}");
        assert_is_over(&testbed);
        let answers = requests::send(client, vip(&testbed), 100);
        assert_eq!(answers.values().sum::<u64>(), 100, "{answers:?}");
        start(&testbed, LIMITS[2]).stop(Signal::SIGTERM);
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert_is_over(&testbed);
}

#[test]
#[ignore = "needs root"]
fn an_interrupted_migration_is_finished_before_limits_change_again() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    // As a daemon leaves it that was killed before its last step.
    set_migrating(&testbed, 1);
    let refused = Balancer::refused(&testbed, &with(&testbed, LIMITS[0]));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("an interrupted migration must be finished first, but"), "{said}");
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    assert_is_over(&testbed);
    start(&testbed, LIMITS[0]).stop(Signal::SIGTERM);
}

#[test]
#[ignore = "needs root"]
fn what_must_not_or_cannot_move_is_refused_and_goes_on() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    let client = &testbed.clients()[0];
    let said = |text: &str, arguments: &[&str]| {
        let refused = Balancer::refused_by(&testbed, text, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    let ((), talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        for (limits, reason) in [
            (
                "limits.flows = 8_000",
                "`limits.flows` has changed from 100000 to 8000: set it back to 100000, or",
            ),
            (
                "limits.flows = 100_000\nlimits.services = 9",
                "`limits.services` has changed from 4096 to 9: ",
            ),
            (
                "limits.flows = 100_000\nlimits.backends = 9",
                "`limits.backends` has changed from 16384 to 9: ",
            ),
        ] {
            let said = said(&with(&testbed, limits), &["--no-migrate"]);
            assert!(said.contains(reason), "{said}");
        }
        // Connections refer to the backends by ids up to six.
        let backend = ((testbed.backends()[0].address, ECHO).into(), 1);
        let text = configuration(&testbed, "limits.backends = 3")
            + &service("echo", echo(&testbed), &[backend]);
        let said = said(&text, &[]);
        assert!(said.contains("`limits.backends` = 3 is too low for the ids in use"), "{said}");
        assert!(said.contains("set it to 6 or more"), "{said}");
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert_is_over(&testbed);
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    assert!(detach(&testbed).status.success());
}
