//! The command line with a running daemon.

use lb_model::views::Stats;
use lb_tests::{
    requests,
    site::{Arms, backend, site, vip},
};

#[test]
#[ignore = "needs root"]
fn backends_are_added_changed_and_removed() {
    let site = site(Arms::Two, [1; 3]);
    let third = backend(&site.testbed, 2).to_string();
    let _ = site.balancer.done(&["backend", "remove", "web", &third]);
    assert_eq!(site.balancer.services()[0].backends.len(), 2);
    let _ = site.balancer.done(&["backend", "add", "web", &third, "--weight", "4"]);
    site.balancer.wait_for_ring_of(3);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 60);
    assert_eq!(answers["backend2"], 40);
    let _ = site.balancer.done(&["backend", "set", "web", &third, "--weight", "1"]);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 60);
    assert_eq!(answers["backend2"], 20);
    let _ = site.balancer.done(&["backend", "drain", "web", &third, "--wait", "--deadline", "20s"]);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 60);
    assert_eq!(answers.get("backend2"), None);
}

#[test]
#[ignore = "needs root"]
fn a_backup_serves_only_alone() {
    let site = site(Arms::Two, [1; 3]);
    let addresses: Vec<_> = (0..3).map(|nth| backend(&site.testbed, nth).to_string()).collect();
    let _ = site.balancer.done(&["backend", "set", "web", &addresses[2], "--backup=true"]);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 20);
    assert_eq!(answers.get("backend2"), None);
    for address in &addresses[..2] {
        let _ = site.balancer.done(&["backend", "disable", "web", address]);
    }
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 20);
    assert_eq!(answers["backend2"], 20);
}

#[test]
#[ignore = "needs root"]
fn what_cannot_be_done_is_said_in_one_line() {
    let site = site(Arms::Two, [1; 3]);
    let (first, vip) = (backend(&site.testbed, 0).to_string(), vip(&site.testbed).to_string());
    let refused = [
        (&["service", "show", "nope"][..], 1, "no service nope"),
        (&["backend", "add", "web", &first], 1, "already"),
        (&["backend", "add", "web", &vip], 2, "is the VIP"),
        (&["backend", "add", "web", "10.0.0.1:80"], 2, "balancer itself"),
        (&["backend", "add", "web", "127.0.0.2:80"], 2, "cannot be a server's address"),
        (&["backend", "add", "web", "10.0.0.99:0"], 2, "cannot be a server's address"),
        (&["backend", "drain", "web", "10.0.0.99:80"], 1, "no backend 10.0.0.99:80"),
        (&["backend", "add", "web", "10.0.0.99:80", "--weight", "70000"], 2, "70000"),
        (&["backend", "add", "web", "10.0.0.99"], 2, "the port is missing"),
    ];
    for (arguments, code, word) in refused {
        let output = site.balancer.xdplb(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
    assert_eq!(site.balancer.services()[0].backends.len(), 3);
}

#[test]
#[ignore = "needs root"]
fn stats_count_what_went_by() {
    let site = site(Arms::Two, [1; 3]);
    let _ = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 30);
    let stats = site.balancer.done(&["stats", "-o", "json"]);
    let stats: Stats = serde_json::from_str(&stats).expect("the shape");
    let connections: Vec<_> =
        stats.services[0].backends.iter().map(|one| one.connections).collect();
    assert_eq!(connections, [10; 3]);
    let forwarded = stats.packets.iter().find(|view| view.reason == "forwarded").expect("listed");
    let inbound: u64 = stats.services[0].backends.iter().map(|one| one.packets_in).sum();
    assert_eq!(forwarded.packets, inbound);
    for output in ["table", "wide"] {
        assert!(site.balancer.done(&["service", "list", "-o", output]).contains("10.0.0.11:80"));
        assert!(site.balancer.done(&["stats", "-o", output]).contains("forwarded"));
        assert!(site.balancer.done(&["status", "-o", output]).contains("native"));
    }
}
