//! Roles by a real keepalived on each node.

use std::fs;

use lb_model::Role;
use lb_tests::{
    balancer::BINARY,
    servers::{Server, attempt, shell, start},
};
use nix::sys::signal::Signal;

use crate::pair::{Pair, is_served, node, pair, wait_for};

/// Starts keepalived with the configuration that is printed for a node.
fn keepalived(pair: &Pair, nth: usize) -> Server {
    let node = node(&pair.testbed, nth);
    let directory = node.directory();
    let peer = ["10.0.0.2", "10.0.0.1"][nth];
    let own = directory.join("xdplb.toml").display().to_string();
    let printed =
        attempt(node.namespace(), BINARY, &["pair", "keepalived", "-c", &own, "--peer", peer]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let file = |name: &str| directory.join(name).display().to_string();
    fs::write(file("keepalived.conf"), printed.stdout).expect("written");
    let using = format!("--use-file={}", file("keepalived.conf"));
    let tested = attempt(node.namespace(), "keepalived", &["--config-test", &using]);
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stderr));
    let pids = ["pid", "vrrp_pid"].map(|kind| format!("--{kind}={}", file(kind)));
    let [pid, vrrp_pid] = &pids;
    start(
        node.namespace(),
        "keepalived",
        &["--dont-fork", "--vrrp", "--log-console", &using, pid, vrrp_pid],
    )
}

/// A pair with keepalived on both nodes, and the node that has become active first.
fn driven() -> (Pair, [Server; 2], usize) {
    let pair = pair();
    let keepaliveds = [0, 1].map(|nth| keepalived(&pair, nth));
    let active = || (0..2).find(|nth| pair.role(*nth) == Role::Active);
    wait_for("an active node", || active().is_some());
    let first = active().expect("one");
    assert!(is_served(&pair.testbed));
    assert_eq!(pair.role(1 - first), Role::Standby);
    (pair, keepaliveds, first)
}

#[test]
#[ignore = "needs root"]
fn keepalived_moves_the_role_with_the_addresses() {
    let (pair, _keepaliveds, first) = driven();
    let cut = node(&pair.testbed, first).namespace();
    shell(cut, "ip link set eth0 down && ip link set eth1 down");
    wait_for("a takeover", || pair.role(1 - first) == Role::Active);
    wait_for("a fence", || pair.role(first) == Role::Standby);
    assert!(is_served(&pair.testbed));
    let ready = pair.daemons[first].xdplb(&["pair", "ready"]);
    assert_eq!(ready.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ready.stdout).into_owned();
    assert!(said.contains("eth0: the link is not up"), "{said}");
    shell(cut, "ip link set eth0 up && ip link set eth1 up");
    pair.daemons[first].wait_for_ring_of(3);
    wait_for("a node that is ready", || {
        pair.daemons[first].xdplb(&["pair", "ready"]).status.success()
    });
    assert!(is_served(&pair.testbed));
    let roles = [pair.role(first), pair.role(1 - first)];
    assert_eq!(roles, [Role::Standby, Role::Active], "nopreempt: it does not come back");
}

#[test]
#[ignore = "needs root"]
fn a_node_with_a_frozen_daemon_hands_over_and_is_standby_when_it_wakes() {
    let (pair, _keepaliveds, first) = driven();
    pair.daemons[first].signal(Signal::SIGSTOP);
    wait_for("a takeover", || pair.role(1 - first) == Role::Active);
    assert!(is_served(&pair.testbed));
    pair.daemons[first].signal(Signal::SIGCONT);
    wait_for("a standby node", || pair.role(first) == Role::Standby);
    wait_for("a node that is ready", || {
        pair.daemons[first].xdplb(&["pair", "ready"]).status.success()
    });
    assert_eq!(pair.role(1 - first), Role::Active);
    assert!(is_served(&pair.testbed));
}

#[test]
#[ignore = "needs root"]
fn a_restart_of_the_daemon_is_no_takeover() {
    let (mut pair, _keepaliveds, first) = driven();
    let epochs = [0, 1].map(|nth| pair.group(nth).epoch);
    let [one, other] = pair.daemons;
    let (restarted, kept) = if first == 0 { (one, other) } else { (other, one) };
    restarted.stop(Signal::SIGTERM);
    let restarted = crate::pair::start(&pair.testbed, first, pair.lease);
    pair.daemons = if first == 0 { [restarted, kept] } else { [kept, restarted] };
    pair.daemons[first].wait_for_ring_of(3);
    assert!(is_served(&pair.testbed));
    assert_eq!([0, 1].map(|nth| pair.group(nth).epoch), epochs, "nobody was promoted");
    assert_eq!(pair.role(first), Role::Active);
}
