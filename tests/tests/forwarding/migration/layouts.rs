//! Starts of another version, while connections go on.

use std::time::Duration;

use lb_common::LAYOUT;
use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, configuration, detach, service},
    conversations::hold,
    requests,
    site::vip,
};
use nix::sys::signal::Signal;

use super::{
    CONVERSATIONS, ECHO, LIMITS, assert_is_over, echo, formers, live_for, log, names, pins,
    previous, previous::PREVIOUS, stage, start, stats, undisturbed, with,
};

/// Returns the number of frames that have been sent to backends.
fn forwarded(balancer: &Balancer) -> u64 {
    let packets = stats(balancer).packets;
    packets.iter().find(|one| one.reason == "forwarded").expect("counted").packets
}

/// Fails unless all pins are this layout's.
fn assert_is_taken_over(testbed: &Testbed) {
    assert_is_over(testbed);
    assert_eq!(names(&testbed.bpffs().join("xdplb")), [format!("v{LAYOUT}")]);
    assert!(!pins(testbed, LAYOUT).join(previous::GONE).exists());
}

#[test]
#[ignore = "needs root"]
fn connections_of_the_previous_layout_go_on_under_load() {
    let (testbed, _servers) = stage();
    let mut balancer = start(&testbed, LIMITS[3]);
    previous::forget_past(&testbed);
    undisturbed(&testbed, || {
        for limits in [LIMITS[3], LIMITS[2]] {
            let before = forwarded(&balancer);
            balancer.stop(Signal::SIGKILL);
            previous::leave(&testbed);
            balancer = start(&testbed, limits);
            let after = forwarded(&balancer);
            assert!(after >= before, "{limits}: {after} frames, and {before} before");
            assert_is_taken_over(&testbed);
        }
    });
    let log = log(&testbed);
    assert_eq!(log.matches("took over the pins of the previous version").count(), 2, "{log}");
    assert_eq!(log.matches("connections stay in their flow table").count(), 1, "{log}");
    assert_eq!(log.matches(" connections to a flow table for ").count(), 1, "{log}");
    assert!(!log.contains("and left"), "{log}");
}

/// Connections last over a daemon that was killed at any moment of the upgrade.
#[test]
#[ignore = "needs root"]
fn a_killed_upgrade_is_followed_by_one_that_goes_on() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    previous::leave(&testbed);
    let client = &testbed.clients()[0];
    let (left, talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        let left = (0..).step_by(10).map(Duration::from_millis).map(|life| {
            let log = live_for(life, &testbed, &with(&testbed, LIMITS[2]));
            let is_previous = pins(&testbed, PREVIOUS).exists();
            let layout = if is_previous { PREVIOUS } else { LAYOUT };
            let is_left = !formers(&testbed, layout).is_empty();
            (is_left.then_some(layout), log.contains("ready"))
        });
        let left: Vec<u32> =
            left.take_while(|(_, is_ready)| !is_ready).filter_map(|(layout, _)| layout).collect();
        start(&testbed, LIMITS[2]).stop(Signal::SIGTERM);
        left
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert!(left.contains(&PREVIOUS), "no daemon was killed in between: {left:?}");
    assert_is_taken_over(&testbed);
}

#[test]
#[ignore = "needs root"]
fn layouts_that_must_not_or_cannot_be_taken_over_are_refused_and_go_on() {
    let (testbed, _servers) = stage();
    start(&testbed, LIMITS[3]).stop(Signal::SIGTERM);
    let said = |text: &str, arguments: &[&str]| {
        let refused = Balancer::refused_by(&testbed, text, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    let usual = with(&testbed, LIMITS[3]);
    undisturbed(&testbed, || {
        previous::rename(&testbed, LAYOUT, PREVIOUS);
        let unwanted = said(&usual, &["--no-migrate"]);
        let expected = format!(
            "v{PREVIOUS} of the previous version of xdplb, and this one has layout {LAYOUT}: start \
             that version again, or start without `--no-migrate` to migrate connections"
        );
        assert!(unwanted.contains(&expected), "{unwanted}");
        // Fails after the pins were opened, and must not end what it has not begun.
        let backend = ((testbed.backends()[0].address, ECHO).into(), 1);
        let text = configuration(&testbed, "limits.backends = 3")
            + &service("echo", echo(&testbed), &[backend]);
        let unfit = said(&text, &[]);
        assert!(unfit.contains("`limits.backends` = 3 is too low for the ids in use"), "{unfit}");
        assert_eq!(names(&testbed.bpffs().join("xdplb")), [format!("v{PREVIOUS}")]);
        for other in [PREVIOUS - 1, LAYOUT + 1] {
            previous::rename(&testbed, PREVIOUS, other);
            let unknown = said(&usual, &[]);
            let expected = format!(
                "v{other} of another version of xdplb: this one has layout {LAYOUT}, and takes over \
                 layout {PREVIOUS} only."
            );
            assert!(unknown.contains(&expected), "{unknown}");
            previous::rename(&testbed, other, PREVIOUS);
        }
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 100);
        assert_eq!(answers.get(""), None, "{answers:?}");
    });
    assert!(detach(&testbed).status.success());
    assert!(!testbed.bpffs().join("xdplb").exists(), "something is left");
}

/// A build of the same layout may know other reasons and incidents.
#[test]
#[ignore = "needs root"]
fn counters_of_another_build_are_kept() {
    let (testbed, _servers) = stage();
    let balancer = start(&testbed, LIMITS[3]);
    undisturbed(&testbed, || {
        let before = forwarded(&balancer);
        balancer.stop(Signal::SIGTERM);
        previous::leave_fewer_counters(&testbed);
        let refused = Balancer::refused_by(&testbed, &with(&testbed, LIMITS[3]), &["--no-migrate"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        let expected = "the pinned map INCIDENTS_SEEN was made by another version of xdplb: start that \
                        version again, or start without `--no-migrate`";
        assert!(said.contains(expected), "{said}");
        let after = forwarded(&start(&testbed, LIMITS[3]));
        assert!(after >= before, "{after} frames, and {before} before");
    });
    assert_is_over(&testbed);
}
