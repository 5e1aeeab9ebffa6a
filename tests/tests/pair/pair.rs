//! Two balancers of a testbed, with nginx in every backend.

use std::{net::Ipv4Addr, time::Duration};

use lb_model::{Role, views::GroupView};
use lb_testbed::{Node, Testbed};
use lb_tests::{
    balancer::{Balancer, configuration_of, service, wait_within},
    requests,
    servers::{Server, nginx_everywhere},
    site::{backend, empty_pair, vip},
};

/// Source address of connections of the group `web`.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// Time that a request may take: it is sent to nobody if both nodes are standby.
const PATIENCE: Duration = Duration::from_millis(300);

/// Time for a node to take over.
const SOON: Duration = Duration::from_secs(20);

pub struct Pair {
    /// Daemons of the nodes, in their order.
    pub daemons: [Balancer; 2],
    pub lease: &'static str,
    _servers: Vec<Server>,
    pub testbed: Testbed,
}

/// Makes a pair whose nodes are standby for the group `web`.
///
/// # Panics
///
/// If it cannot be made.
pub fn pair() -> Pair {
    with_lease("10s")
}

/// As [`pair`], whose daemons extend leases of this length.
pub fn with_lease(lease: &'static str) -> Pair {
    let testbed = empty_pair();
    let servers = nginx_everywhere(&testbed);
    let daemons = [0, 1].map(|nth| start(&testbed, nth, lease));
    for daemon in &daemons {
        daemon.wait_for_ring_of(3);
    }
    Pair { daemons, lease, _servers: servers, testbed }
}

/// Starts the daemon of a node.
pub fn start(testbed: &Testbed, nth: usize, lease: &str) -> Balancer {
    let node = node(testbed, nth);
    Balancer::start_on(node, &text(node, testbed, lease))
}

pub fn node(testbed: &Testbed, nth: usize) -> &Node {
    testbed.nodes().nth(nth).expect("two nodes")
}

/// Returns the configuration of a node.
pub fn text(node: &Node, testbed: &Testbed, lease: &str) -> String {
    let group = format!(
        "[pair]\nlease = \"{lease}\"\n[[group]]\nname = \"web\"\nvips = [\"{}\"]\nsnat_addresses = [\"{SOURCE}\"]\n",
        testbed.vip()
    );
    let backends: Vec<_> = (0..3).map(|nth| (backend(testbed, nth), 1)).collect();
    configuration_of(node, testbed, "") + &group + &service("web", vip(testbed), &backends)
}

impl Pair {
    /// Makes a node active or standby, by its map. Returns what the command says.
    pub fn order(&self, nth: usize, verb: &str) -> String {
        let bpffs = node(&self.testbed, nth).bpffs().display().to_string();
        self.daemons[nth].done(&["pair", verb, "web", "--bpffs", &bpffs])
    }

    /// Gives a node the addresses of the group, as keepalived does.
    pub fn give_addresses(&self, nth: usize) {
        let namespace = node(&self.testbed, nth).namespace();
        namespace.add_address("eth0", self.testbed.vip(), 32).expect("root");
        namespace.add_address("eth1", SOURCE, 32).expect("root");
    }

    /// Returns a node's view of the group.
    pub fn group(&self, nth: usize) -> GroupView {
        let said = self.daemons[nth].done(&["pair", "status", "-o", "json"]);
        let groups: Vec<GroupView> = serde_json::from_str(&said).expect("the shape");
        let [group] = <[_; 1]>::try_from(groups).expect("one group");
        group
    }

    pub fn role(&self, nth: usize) -> Role {
        self.group(nth).role
    }

    /// Returns the packets that a node has counted under a reason.
    pub fn packets(&self, nth: usize, reason: &str) -> u64 {
        let said = self.daemons[nth].done(&["stats", "-o", "json"]);
        let stats: lb_model::views::Stats = serde_json::from_str(&said).expect("the shape");
        let of_reason = stats.packets.iter().filter(|one| one.reason == reason);
        of_reason.map(|one| one.packets).sum()
    }
}

/// Returns true if a request is answered soon.
pub fn is_served(testbed: &Testbed) -> bool {
    first_answer(testbed, SOON)
}

/// Returns true if no request is answered for a while.
pub fn is_silent(testbed: &Testbed) -> bool {
    !first_answer(testbed, 4 * PATIENCE)
}

fn first_answer(testbed: &Testbed, longest: Duration) -> bool {
    let client = &testbed.clients()[0];
    requests::first_answer(client, vip(testbed), PATIENCE, longest).is_some()
}

/// Waits until something holds, and says what has not come.
pub fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    wait_within(SOON, what, holds);
}
