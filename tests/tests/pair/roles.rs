//! Promotions and demotions.

use lb_model::Role;
use lb_tests::{
    balancer::{Balancer, configuration_of, service},
    site::{backend, vip},
};

use crate::pair::{SOURCE, is_served, is_silent, node, pair, start, text, wait_for};

#[test]
#[ignore = "needs root"]
fn only_the_active_node_forwards_although_both_have_the_addresses() {
    let pair = pair();
    for nth in [0, 1] {
        pair.give_addresses(nth);
        assert_eq!(pair.role(nth), Role::Standby);
    }
    assert!(is_silent(&pair.testbed), "nobody is active");
    for (active, standby) in [(0, 1), (1, 0), (0, 1)] {
        let said = pair.order(active, "promote");
        assert!(said.starts_with("web: active, epoch "), "{said}");
        let forwarded = [0, 1].map(|nth| pair.packets(nth, "forwarded"));
        assert!(is_served(&pair.testbed));
        assert_eq!(pair.packets(standby, "forwarded"), forwarded[standby]);
        assert!(pair.packets(active, "forwarded") > forwarded[active]);
        assert!(pair.packets(standby, "standby") > 0, "it was asked for the MAC address");
        let status = pair.daemons[active].done(&["status"]);
        assert!(status.contains("groups: web active"), "{status}");
        pair.order(active, "demote");
        assert_eq!(pair.role(active), Role::Standby);
    }
    assert!(is_silent(&pair.testbed), "both are standby again");
}

#[test]
#[ignore = "needs root"]
fn promotions_are_counted_and_may_be_repeated() {
    let pair = pair();
    let daemon = &pair.daemons[0];
    let log = node(&pair.testbed, 0).directory().join("log");
    let has_logged = |what: &str| std::fs::read_to_string(&log).expect("a log").contains(what);
    for epoch in [1, 2] {
        for _ in 0..2 {
            assert_eq!(pair.order(0, "promote"), format!("web: active, epoch {epoch}\n"));
        }
        wait_for("a role in the log", || has_logged("active for a group"));
        for _ in 0..2 {
            assert_eq!(pair.order(0, "demote"), format!("web: standby, epoch {epoch}\n"));
        }
    }
    let unknown = daemon.xdplb(&["pair", "promote", "mail"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("there is no group mail, only web"), "{said}");
    wait_for("a role in the log", || has_logged("standby for a group"));
}

#[test]
#[ignore = "needs root"]
fn a_node_is_demoted_without_its_daemon() {
    let mut pair = pair();
    pair.give_addresses(0);
    pair.order(0, "promote");
    assert!(is_served(&pair.testbed));
    pair.daemons[0].signal(nix::sys::signal::Signal::SIGSTOP);
    let said = pair.order(0, "demote");
    assert_eq!(said, "web: standby, epoch 1\n");
    assert!(is_silent(&pair.testbed), "the daemon is frozen, but not needed");
    pair.daemons[0].signal(nix::sys::signal::Signal::SIGCONT);
    pair.daemons[0].wait_for("a daemon that knows", || pair.role(0) == Role::Standby);
    let [first, second] = pair.daemons;
    first.stop(nix::sys::signal::Signal::SIGTERM);
    pair.daemons = [start(&pair.testbed, 0, pair.lease), second];
    assert_eq!(pair.role(0), Role::Standby, "as it was told");
}

#[test]
#[ignore = "needs root"]
fn a_service_outside_of_all_groups_is_refused() {
    let pair = pair();
    let vip_elsewhere = "203.0.113.20:80";
    let daemon = &pair.daemons[0];
    let added = daemon.xdplb(&["service", "add", "mail", "--vip", vip_elsewhere]);
    let said = String::from_utf8_lossy(&added.stderr).into_owned();
    assert_eq!(added.status.code(), Some(1), "{said}");
    assert!(said.contains("203.0.113.20 is in no group"), "{said}");
    let of_file = text(node(&pair.testbed, 1), &pair.testbed, pair.lease)
        + &service("mail", vip_elsewhere.parse().expect("an address"), &[]);
    let refused = Balancer::refused(&pair.testbed, &of_file);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("203.0.113.20 is in no group"), "{said}");
    assert_eq!(daemon.services().len(), 1);
}

#[test]
#[ignore = "needs root"]
fn a_balancer_without_groups_has_no_roles() {
    let pair = pair();
    let [first, second] = pair.daemons;
    first.stop(nix::sys::signal::Signal::SIGTERM);
    drop(second);
    let node = node(&pair.testbed, 0);
    node.namespace().add_address("eth0", pair.testbed.vip(), 32).expect("root");
    node.namespace().add_address("eth1", SOURCE, 32).expect("root");
    let backends: Vec<_> = (0..3).map(|nth| (backend(&pair.testbed, nth), 1)).collect();
    let text =
        configuration_of(node, &pair.testbed, "") + &service("web", vip(&pair.testbed), &backends);
    let daemon = Balancer::start_on(node, &text);
    for verb in ["promote", "demote"] {
        let refused = daemon.xdplb(&["pair", verb]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("there are no groups"), "{said}");
    }
    assert_eq!(daemon.status().groups, []);
}
