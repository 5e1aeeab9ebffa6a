//! The services as one document: edited by commands, distinguished from a file, kept, and rolled
//! back.

use std::{fs, process::Output};

use lb_tests::{
    balancer::Balancer,
    requests,
    servers::attempt,
    site::{Arms, Site, backend, site, text, vip},
};
use nix::sys::signal::Signal;

fn weights(balancer: &Balancer) -> Vec<u16> {
    balancer.services()[0].backends.iter().map(|backend| backend.weight).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
#[ignore = "needs root"]
fn changes_by_commands_outlive_the_daemon() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let first = backend(&testbed, 0).to_string();
    balancer.done(&["backend", "set", "web", &first, "--weight", "5"]);
    balancer.done(&["backend", "drain", "web", &backend(&testbed, 1).to_string()]);
    balancer.stop(Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    assert_eq!(weights(&balancer), [5, 1, 1]);
    balancer.wait_for_ring_of(2);
    let history = balancer.done(&["history"]);
    let mut lines = history.lines().skip(1);
    assert!(lines.next().is_some_and(|line| line.contains("set to draining")), "{history}");
    let second = lines.next().unwrap_or_default();
    assert!(second.contains("root (uid 0, pid") && second.contains("weight 5"), "{history}");
    assert!(lines.next().is_some_and(|line| line.contains("loaded")), "{history}");
}

#[test]
#[ignore = "needs root"]
fn a_file_that_has_changed_wins_and_what_was_before_can_be_had_back() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let first = backend(&testbed, 0).to_string();
    balancer.done(&["backend", "set", "web", &first, "--weight", "5"]);
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1, 1, 7]));
    assert_eq!(weights(&balancer), [1, 1, 7]);
    let steps = balancer.done(&["rollback"]);
    assert!(steps.contains("~ web: 10.0.0.13:80: weight: 7 -> 1"), "{steps}");
    assert_eq!(weights(&balancer), [5, 1, 1]);
    balancer.done(&["rollback", "1"]);
    assert_eq!(weights(&balancer), [1; 3]);
    let unknown = balancer.xdplb(&["rollback", "99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said(&unknown).contains("there is no version 99"), "{}", said(&unknown));
}

#[test]
#[ignore = "needs root"]
fn what_was_applied_from_another_file_outlives_the_daemon() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let other = testbed.directory().join("other.toml");
    fs::write(&other, text(&testbed, &[1, 2, 3])).expect("written");
    balancer.done(&["apply", "-c", other.to_str().expect("text")]);
    balancer.stop(Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    assert_eq!(weights(&balancer), [1, 2, 3]);
}

#[test]
#[ignore = "needs root"]
fn drift_is_told_and_fixed() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let file = testbed.directory().join("xdplb.toml").display().to_string();
    let diff = || balancer.xdplb(&["diff", "-c", &file]);
    assert_eq!(diff().status.code(), Some(0), "{}", said(&diff()));
    balancer.done(&["backend", "remove", "web", &backend(&testbed, 2).to_string()]);
    balancer.done(&["service", "set", "web", "--health", "fall=9"]);
    let drift = diff();
    assert_eq!(drift.status.code(), Some(4));
    let expected = "~ web: health.fall: 9 -> 2\n\
                    + web: 10.0.0.13:80: weight 1, backup false, admin enabled\n";
    assert_eq!(said(&drift), expected);
    let bad = testbed.directory().join("bad.toml");
    fs::write(&bad, text(&testbed, &[1; 3]).replace("fall = 2", "fall = 0")).expect("written");
    let missing = testbed.directory().join("missing.toml");
    fs::write(&missing, text(&testbed, &[1; 3]).replace("\"eth1\"", "\"eth9\"")).expect("written");
    let plan = balancer.xdplb(&["diff", "-c", &missing.display().to_string()]);
    assert!(said(&plan).contains("there is no interface eth9"), "{}", said(&plan));
    for file in [&bad, &missing] {
        let refused = balancer.xdplb(&["apply", "-c", &file.display().to_string()]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    }
    assert_eq!(said(&diff()), expected, "a bad file changes nothing");
    assert_eq!(balancer.done(&["apply", "-c", &file]), expected);
    assert_eq!(diff().status.code(), Some(0), "{}", said(&diff()));
    balancer.wait_for_ring_of(3);
}

#[test]
#[ignore = "needs root"]
fn a_file_whose_interfaces_are_not_to_be_had_changes_nothing_and_is_read_again() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let ip = |arguments: &str| {
        let output = attempt(testbed.balancer(), "ip", &arguments.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{arguments}: {}", said(&output));
        said(&output)
    };
    ip("link add spare type veth peer spare-peer");
    // A bridge has no native XDP.
    ip("link add late type bridge");
    let text = text(&testbed, &[1, 1, 7]).replace("\"eth1\"]", "\"eth1\", \"spare\", \"late\"]");
    let text = format!("xdp_mode = \"native\"\n{text}");
    let file = testbed.directory().join("xdplb.toml");
    fs::write(&file, &text).expect("written");
    let refused = balancer.xdplb(&["apply", "-c", file.to_str().expect("text")]);
    assert!(said(&refused).contains("cannot attach to late in native mode"), "{}", said(&refused));
    assert!(!ip("-details link show spare").contains("prog/xdp"));
    assert_eq!((weights(&balancer), balancer.status().interfaces.len()), (vec![1; 3], 2));
    assert_eq!(balancer.done(&["history"]).lines().count(), 2, "a heading and one version");
    balancer.stop(Signal::SIGKILL);
    ip("link del late");
    ip("link add late type veth peer late-peer");
    let balancer = Balancer::start(&testbed, &text);
    assert_eq!(weights(&balancer), [1, 1, 7]);
}

/// Commands' changes last while the file has the same services; then every step is logged.
#[test]
#[ignore = "needs root"]
fn a_comment_undoes_no_command() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let third = backend(&testbed, 2).to_string();
    balancer.done(&["backend", "set", "web", &third, "--weight", "7"]);
    balancer.stop(Signal::SIGTERM);
    let text = text(&testbed, &[1; 3]);
    let balancer =
        Balancer::start(&testbed, &format!("# A comment\nxdp_mode = \"auto\"\n{text}# End\n"));
    assert_eq!(weights(&balancer), [1, 1, 7]);
    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &text.replace("weight = 1", "weight = 2"));
    assert_eq!(weights(&balancer), [2; 3]);
    let log = fs::read_to_string(testbed.directory().join("log")).expect("text");
    for said in ["they replace those of version 2", &format!("{third}: weight: 7 -> 2")] {
        assert!(log.contains(said), "{log}");
    }
}

#[test]
#[ignore = "needs root"]
fn services_come_and_go_without_a_restart() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let other = std::net::SocketAddr::new(testbed.vip().into(), 81);
    let check = ["--health", "interval=200ms", "--health", "timeout=200ms"];
    let vip_81 = other.to_string();
    balancer.done(&[&["service", "add", "other", "--vip", &vip_81][..], &check].concat());
    balancer.done(&["backend", "add", "other", &backend(&testbed, 1).to_string()]);
    balancer.wait_for_ring_of(4);
    let answers = requests::send(&testbed.clients()[0], other, 10);
    assert_eq!(answers["backend1"], 10);
    let again = balancer.xdplb(&["service", "add", "again", "--vip", &vip_81]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("is taken by service other"), "{}", said(&again));
    balancer.done(&["service", "remove", "other"]);
    let answers = requests::send(&testbed.clients()[0], other, 1);
    assert_eq!(answers[""], 1);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None);
}
