//! A bug in any task or thread of the daemon, planted there by `panicking`.

use std::{fs, process::Command};

use lb_tests::{
    balancer::Balancer,
    requests,
    servers::nginx_everywhere,
    site::{Arms, empty_testbed, text, vip},
};
use nix::sys::signal::Signal;

/// As documented.
const BUG: i32 = 70;

#[test]
#[ignore = "needs root"]
fn a_panic_anywhere_ends_the_daemon_and_not_the_forwarding() {
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    for place in ["task", "blocking task", "thread"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_panicking"));
        command.env("PLACE", place);
        let balancer = Balancer::start_by(&testbed, &text(&testbed, &[1; 3]), command);
        balancer.wait_for_ring_of(3);
        balancer.signal(Signal::SIGUSR1);
        let code = balancer.ended();
        assert_eq!(code, Some(BUG), "{place}");
        let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
        let said = format!("planted in a {place}\\u{{1b}}[2J");
        let line = log.lines().find(|line| line.contains(&said)).expect("said");
        assert!(
            line.contains("ERROR") && line.contains("the daemon ends because of a bug"),
            "{line}"
        );
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
        assert_eq!(answers.get(""), None, "{place}: forwarding continues: {answers:?}");
    }
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    balancer.wait_for_ring_of(3);
}
