//! Groups that are added to the configuration, and removed from it.

use std::net::SocketAddr;

use lb_model::Role;
use lb_tests::{
    balancer::{Balancer, configuration_of, service},
    conversations,
};
use nix::sys::signal::Signal;

use crate::pair::{SOURCE, node, pair, text};

/// Echo, RFC 862.
const PORT: u16 = 7;

#[test]
#[ignore = "needs root"]
fn connections_survive_groups_that_go_and_come() {
    let pair = pair();
    pair.give_addresses(0);
    let [first, second] = pair.daemons;
    first.stop(Signal::SIGTERM);
    second.stop(Signal::SIGTERM);
    let (testbed, node) = (&pair.testbed, node(&pair.testbed, 0));
    let server = &testbed.backends()[0];
    conversations::serve(server, PORT);
    let vip: SocketAddr = (testbed.vip(), PORT).into();
    let echo = service("echo", vip, &[((server.address, PORT).into(), 1)]);
    let grouped = text(node, testbed, pair.lease) + &echo;
    let sources = format!("snat_addresses = [\"{SOURCE}\"]");
    let alone = configuration_of(node, testbed, &sources) + &echo;
    let daemon = Balancer::start_on(node, &grouped);
    let bpffs = node.bpffs().display().to_string();
    daemon.done(&["pair", "promote", "--bpffs", &bpffs]);
    daemon.wait_for_ring_of(4);
    let (_daemon, talks) = conversations::hold(&testbed.clients()[0], vip, 5, || {
        daemon.stop(Signal::SIGTERM);
        let daemon = Balancer::start_on(node, &alone);
        assert_eq!(daemon.status().groups, []);
        daemon.stop(Signal::SIGTERM);
        let daemon = Balancer::start_on(node, &grouped);
        let groups = daemon.status().groups;
        assert_eq!(groups.first().map(|group| group.role), Some(Role::Standby), "{groups:?}");
        daemon.done(&["pair", "promote", "--bpffs", &bpffs]);
        daemon
    });
    assert!(talks.iter().all(Result::is_ok), "{talks:?}");
}
