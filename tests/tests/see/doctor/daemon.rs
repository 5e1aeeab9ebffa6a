//! Faults of the running daemon.

use std::{io, net::TcpStream, process::Command};

use aya::maps::{Array, Map, MapData};
use lb_common::LAYOUT;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{BINARY, Balancer},
    requests,
    servers::nginx_everywhere,
    site::{Arms, Site, empty_testbed, site, text, vip},
};
use nix::sys::signal::Signal;

use super::bed::{Finding, findings, only};

/// Returns what `doctor` finds with the running configuration.
fn found(testbed: &Testbed, balancer: &Balancer) -> Vec<Finding> {
    findings(testbed.balancer(), &mut balancer.command(&["doctor", "-o", "json"]))
}

#[test]
#[ignore = "needs root"]
fn a_healthy_balancer_has_no_faults() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    assert_eq!(found(&testbed, &balancer), []);
    let output = balancer.command(&["doctor", "-c"]).arg("/dev/null").output().expect("ran");
    assert_eq!(output.status.code(), Some(2), "an invalid file");
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_hangs() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.signal(Signal::SIGSTOP);
    let mut doctor = balancer.command(&["doctor", "-o", "json", "-c"]);
    let found = findings(testbed.balancer(), doctor.arg(testbed.directory().join("xdplb.toml")));
    balancer.signal(Signal::SIGCONT);
    only(found, "daemon-silent", "daemon", "systemctl restart xdplb");
}

/// A monitor that looks at the exit code must see it, although packets are forwarded.
#[test]
#[ignore = "needs root"]
fn a_daemon_that_is_gone() {
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
        let file = testbed.directory().join("xdplb.toml");
        let mut doctor = balancer.command(&["doctor", "-o", "json", "-c"]);
        balancer.stop(signal);
        let found = findings(testbed.balancer(), doctor.arg(file));
        only(found, "daemon-gone", "daemon", "systemctl start xdplb");
    }
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_was_killed_in_the_middle_of_a_migration() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let pin = testbed.bpffs().join(format!("xdplb/v{LAYOUT}/MIGRATING"));
    let map = Map::Array(MapData::from_pin(pin).expect("pinned"));
    let mut word: Array<_, u64> = map.try_into().expect("its shape");
    word.set(0, 1, 0).expect("written");
    assert_eq!(found(&testbed, &balancer), [], "the daemon is at it");
    let file = testbed.directory().join("xdplb.toml");
    let mut doctor = balancer.command(&["doctor", "-o", "json", "-c"]);
    balancer.stop(Signal::SIGKILL);
    let found = findings(testbed.balancer(), doctor.arg(file));
    let ids: Vec<_> = found.iter().map(|one| &*one.id).collect();
    assert_eq!(ids, ["daemon-gone", "migration-interrupted"], "{found:?}");
    assert!(found[1].fix.starts_with("systemctl start xdplb, with the `limits`"), "{found:?}");
}

#[test]
#[ignore = "needs root"]
fn a_daemon_in_another_network_namespace() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let client = &testbed.clients()[0].namespace;
    let found = findings(client, &mut balancer.command(&["doctor", "-o", "json"]));
    let fix = format!("nsenter --net=/proc/{}/ns/net xdplb doctor", balancer.pid());
    only(found, "daemon-elsewhere", "daemon", &fix);
}

#[test]
#[ignore = "needs root"]
fn a_service_without_backends() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    servers.clear();
    balancer.wait_for_ring_of(0);
    let found = found(&testbed, &balancer);
    let found = only(found, "service-without-backends", "web", "start the servers");
    assert!(found.message.contains("10.0.0.11:80 down (L4CON Connection refused"), "{found:?}");
}

#[test]
#[ignore = "needs root"]
fn a_refused_file() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    balancer.reload("interfaces = []\n");
    balancer.wait_for("a refusal", || balancer.status().reload_refused.is_some());
    let file = testbed.directory().join("xdplb.toml").display().to_string();
    let fix = format!("xdplb check -c {file}");
    only(found(&testbed, &balancer), "reload-refused", &file, &fix);
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_may_open_few_files() {
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    let mut command = Command::new("prlimit");
    command.args(["--nofile=256:256", BINARY]);
    let balancer = Balancer::start_by(&testbed, &text(&testbed, &[1; 3]), command);
    balancer.wait_for_ring_of(servers.len());
    let fix = "systemctl edit xdplb: LimitNOFILE=2048";
    only(found(&testbed, &balancer), "open-files", "daemon", fix);
}

#[test]
#[ignore = "needs root"]
fn the_generic_mode_where_the_native_one_works() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let text = text(&testbed, &[1; 3]);
    balancer.reload(&format!("xdp_mode = \"generic\"\n{text}"));
    balancer.wait_for("the generic mode", || found(&testbed, &balancer).len() == 2);
    for finding in found(&testbed, &balancer) {
        assert_eq!((&*finding.id, &*finding.fix), ("xdp-generic", "xdp_mode = \"auto\""));
        assert!(["eth0", "eth1"].contains(&&*finding.subject), "{finding:?}");
    }
    balancer.reload(&text);
    balancer.wait_for("the native mode", || found(&testbed, &balancer).is_empty());
}

#[test]
#[ignore = "needs root"]
fn a_flow_table_that_is_almost_full() {
    const CONNECTIONS: usize = 450;
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let small = text(&testbed, &[1; 3]).replace("limits.flows = 100_000", "limits.flows = 500");
    let balancer = Balancer::start(&testbed, &small);
    balancer.wait_for_ring_of(3);
    let connect = || (0..CONNECTIONS).map(|_| TcpStream::connect(vip(&testbed))).collect();
    let client = &testbed.clients()[0].namespace;
    let open: io::Result<Vec<_>> = client.run(connect).expect("run");
    let open = open.expect("accepted");
    let wanted = u64::try_from(CONNECTIONS).expect("few");
    balancer.wait_for("the connections", || balancer.status().flows.entries >= wanted);
    let fix = "limits.flows = 1000, and restart the daemon";
    only(found(&testbed, &balancer), "flow-table-full", "flow table", fix);
    drop(open);
}

#[test]
#[ignore = "needs root"]
fn a_connection_log_with_too_many_lines() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let log = testbed.directory().join("connections.log");
    let table = format!("[connection_log]\nto = \"{}\"\nper_second = 1\n", log.display());
    balancer.reload(&format!("{}{table}", text(&testbed, &[1; 3])));
    balancer.wait_for("the log", || balancer.status().connection_log.is_some());
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 40);
    assert_eq!(answers.get(""), None, "{answers:?}");
    let left_out = || balancer.status().connection_log.is_some_and(|log| log.left_out > 0);
    balancer.wait_for("too many lines", left_out);
    let fix = "raise `connection_log.per_second`";
    only(found(&testbed, &balancer), "connection-log", &log.display().to_string(), fix);
}

#[test]
#[ignore = "needs root"]
fn a_recipient_of_notifications_that_fails() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    let table = "[[notify]]\nprogram = \"/bin/false\"\nretries = 0\n";
    balancer.reload(&format!("{}{table}", text(&testbed, &[1; 3])));
    balancer.wait_for("the recipient", || balancer.status().notifications.is_some());
    servers.pop();
    let has_failed = || balancer.status().notifications.is_some_and(|view| view.failed > 0);
    balancer.wait_for("a failure", has_failed);
    let fix = "journalctl -u xdplb -g 'notifications cannot be delivered'";
    let found = found(&testbed, &balancer);
    let notifications = found.iter().find(|one| one.id == "notifications").expect("found");
    assert!(notifications.fix.contains(fix), "{found:?}");
}
