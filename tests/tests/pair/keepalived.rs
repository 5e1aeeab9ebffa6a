//! Roles by a real keepalived on each node.

use std::{fs, path::PathBuf};

use lb_model::Role;
use lb_tests::{
    balancer::BINARY,
    servers::{Server, start},
};

use nix::sys::signal::Signal;

use crate::pair::{Pair, SOURCE, is_served, node, pair, shell, wait_for};

/// Writes a configuration as in the README, and starts keepalived with it. It moves the addresses, and tells
/// the daemon.
fn keepalived(pair: &Pair, nth: usize) -> Server {
    let node = node(&pair.testbed, nth);
    let directory = node.directory();
    let [own, other] = if nth == 0 { ["10.0.0.1", "10.0.0.2"] } else { ["10.0.0.2", "10.0.0.1"] };
    let (socket, bpffs) = (pair.daemons[nth].socket().display(), node.bpffs().display());
    let vip = pair.testbed.vip();
    let xdplb = format!("{BINARY} --socket {socket}");
    let text = format!(
        r#"
global_defs {{
    script_user root
    enable_script_security
}}
vrrp_script ready {{
    script "{xdplb} pair ready"
    interval 1
    timeout 1
    fall 1
    rise 1
}}
vrrp_instance web {{
    state BACKUP
    nopreempt
    interface eth1
    virtual_router_id 51
    priority 100
    advert_int 0.2
    unicast_src_ip {own}
    unicast_peer {{ {other} }}
    virtual_ipaddress {{
        {vip}/32 dev eth0
        {SOURCE}/32 dev eth1
    }}
    track_interface {{ eth0 eth1 }}
    track_script {{ ready }}
    notify_master "{xdplb} pair promote web"
    notify_backup "{xdplb} pair demote web --bpffs {bpffs}"
    notify_fault "{xdplb} pair demote web --bpffs {bpffs}"
    notify_stop "{xdplb} pair demote web --bpffs {bpffs}"
}}
"#
    );
    let file = |name: &str| -> PathBuf { directory.join(name) };
    fs::write(file("keepalived.conf"), text).expect("written");
    let arguments = [
        "--dont-fork".to_owned(),
        "--vrrp".to_owned(),
        format!("--use-file={}", file("keepalived.conf").display()),
        format!("--pid={}", file("keepalived.pid").display()),
        format!("--vrrp_pid={}", file("vrrp.pid").display()),
    ];
    start(node.namespace(), "keepalived", &arguments.each_ref().map(String::as_str))
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
