//! Leases: a node whose daemon does not extend them is no longer active.

use std::time::{Duration, Instant};

use lb_model::Role;
use nix::sys::signal::Signal;

use crate::pair::{is_served, is_silent, start, wait_for, with_lease};

/// Long enough for a machine that is held up for a moment.
const LEASE: &str = "2s";
const LEASE_TIME: Duration = Duration::from_secs(2);

#[test]
#[ignore = "needs root"]
fn a_frozen_daemon_loses_its_role_and_does_not_get_it_back_by_waking() {
    let pair = with_lease(LEASE);
    pair.give_addresses(0);
    pair.order(0, "promote");
    assert!(is_served(&pair.testbed));
    pair.daemons[0].signal(Signal::SIGSTOP);
    wait_for("the end of the lease", || is_silent(&pair.testbed));
    pair.daemons[0].signal(Signal::SIGCONT);
    pair.daemons[0].wait_for("the role", || pair.role(0) == Role::Expired);
    assert!(is_silent(&pair.testbed), "it woke, and stays fenced");
    let warnings = pair.daemons[0].status().warnings;
    assert!(warnings.iter().any(|one| one.contains("the lease has run out")), "{warnings:?}");
    assert_eq!(pair.order(0, "promote"), "web: active, epoch 2\n");
    assert!(is_served(&pair.testbed));
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_is_restarted_stays_active() {
    let mut pair = with_lease(LEASE);
    pair.give_addresses(0);
    pair.order(0, "promote");
    assert!(is_served(&pair.testbed));
    let [first, second] = pair.daemons;
    let stopped = Instant::now();
    first.stop(Signal::SIGTERM);
    wait_for("the time of a lease", || stopped.elapsed() > 2 * LEASE_TIME);
    assert!(!is_silent(&pair.testbed), "it has time for a restart");
    pair.daemons = [start(&pair.testbed, 0, pair.lease), second];
    assert_eq!((pair.role(0), pair.group(0).epoch), (Role::Active, 1));
    assert!(is_served(&pair.testbed));
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_is_killed_and_not_restarted_leaves_a_fenced_node() {
    let mut pair = with_lease(LEASE);
    for nth in [0, 1] {
        pair.give_addresses(nth);
    }
    pair.order(0, "promote");
    assert!(is_served(&pair.testbed));
    let [first, second] = pair.daemons;
    first.stop(Signal::SIGKILL);
    wait_for("the end of the lease", || is_silent(&pair.testbed));
    pair.daemons = [start(&pair.testbed, 0, pair.lease), second];
    pair.order(1, "promote");
    assert_eq!(pair.role(0), Role::Expired);
    let forwarded = [0, 1].map(|nth| pair.packets(nth, "forwarded"));
    assert!(is_served(&pair.testbed), "the other one serves");
    assert_eq!(pair.packets(0, "forwarded"), forwarded[0]);
    assert!(pair.packets(1, "forwarded") > forwarded[1]);
}
