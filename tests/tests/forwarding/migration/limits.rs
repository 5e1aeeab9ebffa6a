//! Restarts with other limits, while connections go on.

use std::{thread::sleep, time::Duration};

use lb_common::LAYOUT;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, configuration, detach, service},
    conversations::hold,
    requests,
    servers::attempt,
    site::vip,
};
use nix::sys::signal::Signal;

use super::{
    CONVERSATIONS, ECHO, LIMITS, assert_is_over, echo, formers, live_for, log, set_migrating,
    stage, start, stats, undisturbed, with,
};

/// Returns the number of connections that both services have had.
fn connections(balancer: &Balancer) -> u64 {
    let services = stats(balancer).services;
    services.iter().flat_map(|service| &service.backends).map(|backend| backend.connections).sum()
}

#[test]
#[ignore = "needs root"]
fn established_connections_go_on_under_load_while_limits_change() {
    let (testbed, _servers) = stage();
    let mut balancer = start(&testbed, "limits.flows = 100_000");
    let balancer = undisturbed(&testbed, || {
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
        balancer
    });
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
            (!formers(&testbed, LAYOUT).is_empty(), log.contains("ready"))
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
                "`limits.flows` has changed: set it back to what it was (all values from 99995 to 100000 make \
                 the same table), or start without",
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
