//! Restarts that begin and end the accounting of connections, and that move accounts to another table.

use lb_model::connections::Connection;
use lb_tests::{balancer::Balancer, conversations::hold};
use nix::sys::signal::Signal;

use super::{CONVERSATIONS, assert_is_over, echo, stage, start};

const OFF: &str = "limits.flows = 20_000";
const ON: &str = "limits.flows = 20_000\nlimits.accounting = true";
const MOVED: &str = "limits.flows = 50_000\nlimits.accounting = true";

/// More bytes than a conversation has during a restart.
const MANY: u64 = 100_000;

/// Returns the established connections of the conversations, those with the most bytes first if they are
/// counted.
fn held(balancer: &Balancer, sort: &[&str]) -> Vec<Connection> {
    let filter = ["conns", "-o", "json", "--service", "echo", "--state", "established"];
    let lines = balancer.done(&[&filter, sort].concat());
    lines.lines().map(|line| serde_json::from_str(line).expect("a connection")).collect()
}

fn bytes(connections: &[Connection]) -> Vec<u64> {
    connections.iter().map(|one| one.account.expect("counted").bytes()).collect()
}

#[test]
#[ignore = "needs root"]
fn accounts_begin_with_a_restart_and_move_with_their_connections() {
    let (testbed, _servers) = stage();
    let balancer = start(&testbed, OFF);
    let refused = balancer.xdplb(&["conns", "--sort", "bytes"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("set `limits.accounting = true`"), "{said}");
    let client = &testbed.clients()[0];
    let ((), talks) = hold(client, echo(&testbed), CONVERSATIONS, || {
        assert!(held(&balancer, &[]).iter().all(|one| one.account.is_none()));
        balancer.stop(Signal::SIGTERM);

        let balancer = start(&testbed, ON);
        balancer.wait_for("all conversations to be counted", || {
            let found = bytes(&held(&balancer, &[]));
            found.len() == CONVERSATIONS && found.iter().all(|bytes| *bytes > MANY)
        });
        let sorted = held(&balancer, &["--sort", "bytes"]);
        // They go on while they are sorted.
        let follow = |one: &u64, next: &u64| one + MANY / 4 > *next;
        assert!(bytes(&sorted).is_sorted_by(follow), "{sorted:?}");
        let most = &sorted[0];
        balancer.stop(Signal::SIGTERM);

        let balancer = start(&testbed, MOVED);
        let after = held(&balancer, &[]);
        let same = after.iter().find(|one| one.client == most.client).expect("still there");
        let [before, after] = [most, same].map(|one| one.account.expect("counted"));
        let grown = before.bytes()..2 * before.bytes();
        assert!(grown.contains(&after.bytes()), "{after:?} after {before:?}");
        balancer.stop(Signal::SIGTERM);

        let balancer = start(&testbed, OFF);
        assert!(held(&balancer, &[]).iter().all(|one| one.account.is_none()));
        balancer.stop(Signal::SIGTERM);
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
    assert_is_over(&testbed);
}
