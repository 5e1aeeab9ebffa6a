//! Handshakes and resets of real connections, in metrics and statistics.

use std::collections::BTreeMap;

use lb_model::views::{BackendStats, Stats};
use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Site, backend, vip},
};

use super::watched::{get, site};

fn of_web(balancer: &Balancer) -> Vec<BackendStats> {
    let stats: Stats =
        serde_json::from_str(&balancer.done(&["stats", "-o", "json"])).expect("statistics");
    stats.services.into_iter().flat_map(|service| service.backends).collect()
}

#[test]
#[ignore = "needs root"]
fn some_of_many_handshakes_are_measured() {
    let Site { balancer, servers: _servers, testbed } = site("");
    balancer.wait_for("measured handshakes", || {
        let answers = requests::send(&testbed.clients()[0], vip(&testbed), 100);
        assert!(!answers.contains_key(""), "{answers:?}");
        of_web(&balancer).iter().all(|one| one.handshakes.samples > 0)
    });
    for one in of_web(&balancer) {
        let median = one.handshakes.quantile(0.5).expect("measured");
        let most = one.handshakes.quantile(1.0).expect("measured");
        assert!(!median.is_zero() && median <= most, "{one:?}");
        assert!(one.handshakes.samples <= one.connections, "{one:?}");
        assert_eq!((one.resets_by_backend, one.retransmitted_syns), (0, 0), "{one:?}");
    }
    let text = get(&testbed, "/metrics", &[]).body;
    let first = backend(&testbed, 0).to_string();
    let buckets: BTreeMap<_, u64> = text
        .lines()
        .filter(|line| line.starts_with("xdplb_backend_handshake_duration_seconds_bucket"))
        .filter(|line| line.contains(&first))
        .map(|line| {
            let (key, count) = line.rsplit_once(' ').expect("a sample");
            (key, count.parse().expect("a number"))
        })
        .collect();
    assert_eq!(buckets.len(), 11, "{buckets:?}");
    let (_, all) = buckets.iter().find(|(key, _)| key.contains("+Inf")).expect("all of them");
    assert!(*all > 0 && buckets.values().all(|count| count <= all), "{buckets:?}");
}
