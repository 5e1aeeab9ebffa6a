//! Changes by commands, tried first, with a running daemon.

use std::net::SocketAddr;

use lb_tests::{
    balancer, requests,
    site::{Arms, backend, site, vip},
};
use serde_json::Value;

#[test]
#[ignore = "needs root"]
fn a_backend_of_weight_0_takes_no_new_connections() {
    let site = site(Arms::Two, [1; 3]);
    let third = backend(&site.testbed, 2).to_string();
    let _ = site.balancer.done(&["backend", "set", "web", &third, "--weight", "0"]);
    site.balancer.wait_for_ring_of(2);
    let client = &site.testbed.clients()[0];
    let answers = requests::send(client, vip(&site.testbed), 20);
    assert_eq!(answers.get("backend2"), None, "{answers:?}");
    let shown = site.balancer.done(&["service", "show", "web"]);
    assert!(shown.contains("no new connections: weight 0"), "{shown}");
    let _ = site.balancer.done(&["backend", "set", "web", &third, "--weight", "1"]);
    site.balancer.wait_for_ring_of(3);
    let answers = requests::send(client, vip(&site.testbed), 30);
    assert_eq!(answers["backend2"], 10, "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_shows_the_change_and_makes_none() {
    let site = site(Arms::Two, [1; 3]);
    let third = backend(&site.testbed, 2).to_string();
    let before = site.balancer.done(&["export"]);
    let changes = [
        &["backend", "set", "web", &third, "--weight", "7"][..],
        &["backend", "remove", "web", &third],
        &["backend", "drain", "web", &third],
        &["service", "set", "web", "--scheduler", "random"],
        &["service", "remove", "web"],
    ];
    for change in changes {
        let arguments = [change, &["--dry-run", "-o", "json"]].concat();
        let answer: Value = serde_json::from_str(&site.balancer.done(&arguments)).expect("JSON");
        assert_eq!(answer["dry_run"], true, "{change:?}: {answer}");
        assert_eq!(answer["changed"], true, "{change:?}: {answer}");
        assert_eq!(answer["steps"].as_array().map(Vec::len), Some(1), "{change:?}: {answer}");
        assert_eq!(site.balancer.done(&["export"]), before, "{change:?}");
    }
    assert_eq!(site.balancer.done(&["history", "-o", "json"]).matches("\"version\"").count(), 1);
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 30);
    assert_eq!(answers["backend2"], 10, "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn a_service_comes_with_its_backends_in_one_change() {
    let site = site(Arms::Two, [1; 3]);
    let backends = [0, 1].map(|nth| backend(&site.testbed, nth).to_string());
    let other = SocketAddr::new(vip(&site.testbed).ip(), 81).to_string();
    let added = site.balancer.done(&[
        "service",
        "add",
        "other",
        "--vip",
        &other,
        "--backend",
        &backends[0],
        "--backend",
        &backends[1],
        "-o",
        "json",
    ]);
    let answer: Value = serde_json::from_str(&added).expect("JSON");
    assert_eq!(answer["changed"], true, "{answer}");
    assert_eq!(answer["version"], 2, "{answer}");
    let services = site.balancer.services();
    let other_service = services.iter().find(|service| service.name == "other").expect("added");
    assert_eq!(other_service.backends.len(), 2);
    site.balancer.wait_for("backends that are up", || {
        let services = site.balancer.services();
        let service = services.iter().find(|service| service.name == "other");
        service.is_some_and(|one| one.backends.iter().all(|backend| backend.unusable.is_none()))
    });
    let client = &site.testbed.clients()[0];
    let answers = requests::send(client, other.parse().expect("an address"), 20);
    assert_eq!([answers["backend0"], answers["backend1"]], [10, 10], "{answers:?}");
    let stats = site.balancer.done(&["stats", "other", "-o", "json"]);
    let stats: Value = serde_json::from_str(&stats).expect("JSON");
    let names: Vec<_> = stats["services"].as_array().expect("a list").iter().collect();
    assert_eq!(names.len(), 1, "{stats}");
    assert_eq!(names[0]["name"], "other", "{stats}");
}

#[test]
#[ignore = "needs root"]
fn detach_beside_a_daemon_says_to_stop_it() {
    let site = site(Arms::Two, [1; 3]);
    let refused = balancer::detach(&site.testbed);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("stop"), "{said}");
    assert!(!said.contains("bpffs"), "{said}");
    let answers = requests::send(&site.testbed.clients()[0], vip(&site.testbed), 30);
    assert_eq!(answers.get(""), None, "{answers:?}");
}
