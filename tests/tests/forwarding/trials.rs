//! Dry runs of what the daemon would refuse or warn of.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Output};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, service},
    site::{Arms, Site, backend, site, text, vip},
};
use serde_json::Value;

/// Rings of Maglev that there is room for.
const MOST: u16 = 63;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn other_vip(testbed: &Testbed, nth: u16) -> SocketAddr {
    SocketAddr::new(vip(testbed).ip(), 1_000 + nth)
}

/// A file with so many services of Maglev.
fn with_maglev(testbed: &Testbed, count: u16) -> String {
    let mut all = text(testbed, &[1; 3]);
    for nth in 0..count {
        let name = format!("m{nth}");
        let service = service(&name, other_vip(testbed, nth), &[(backend(testbed, 0), 1)]);
        let service = service.replacen("vip =", "scheduler = \"maglev\"\nvip =", 1);
        write!(all, "{service}").expect("a string takes anything");
    }
    all
}

fn apply(balancer: &Balancer, testbed: &Testbed, text: &str, rest: &[&str]) -> Output {
    let file = testbed.directory().join("other.toml");
    fs::write(&file, text).expect("written");
    balancer.xdplb(&[rest, &["-c", file.to_str().expect("text")]].concat())
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_is_refused_if_there_is_no_room_for_the_change() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let full = apply(&balancer, &testbed, &with_maglev(&testbed, MOST), &["apply"]);
    assert!(full.status.success(), "{}", said(&full));
    balancer.wait_for("rings of all services", || {
        let services = balancer.services();
        services.iter().all(|service| service.backends.iter().all(|backend| backend.in_ring))
    });
    let (vip, backend) = (other_vip(&testbed, MOST).to_string(), backend(&testbed, 0).to_string());
    let keys = ["--vip", &vip, "--scheduler", "maglev", "--backend", &backend];
    let health = ["interval=200ms", "timeout=200ms", "rise=2", "fall=2"];
    let health = health.iter().flat_map(|key| ["--health", key]);
    let add: Vec<_> = ["service", "add", "m63"].into_iter().chain(keys).chain(health).collect();
    let tried = balancer.xdplb(&[&add[..], &["--dry-run"]].concat());
    let real = balancer.xdplb(&add);
    assert!(said(&real).contains("no room for a ring"), "{}", said(&real));
    assert_eq!((tried.status, said(&tried)), (real.status, said(&real)));
    let more = with_maglev(&testbed, MOST + 1);
    let diff = apply(&balancer, &testbed, &more, &["diff"]);
    assert_eq!(diff.status.code(), Some(4), "{}", said(&diff));
    assert!(said(&diff).contains("no room for a ring"), "{}", said(&diff));
    let tried = apply(&balancer, &testbed, &more, &["apply", "--dry-run"]);
    let real = apply(&balancer, &testbed, &more, &["apply"]);
    assert!(said(&real).contains("no room for a ring"), "{}", said(&real));
    assert_eq!((tried.status.code(), real.status.code()), (Some(2), Some(2)));
    assert!(said(&tried).contains("no room for a ring"), "{}", said(&tried));
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_is_refused_if_the_change_needs_a_restart() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let changed = text(&testbed, &[1; 3]).replace("flows = 100_000", "flows = 200_000");
    let tried = apply(&balancer, &testbed, &changed, &["apply", "--dry-run", "-o", "json"]);
    let real = apply(&balancer, &testbed, &changed, &["apply"]);
    assert_eq!((tried.status.code(), real.status.code()), (Some(2), Some(2)), "{}", said(&real));
    let outcome: Value = serde_json::from_slice(&tried.stdout).expect("JSON");
    assert_eq!(outcome["changed"], false, "{outcome}");
    assert!(outcome["refused"].as_str().is_some_and(|why| said(&real).contains(why)), "{outcome}");
}

#[test]
#[ignore = "needs root"]
fn a_dry_run_warns_of_a_vip_that_no_packets_come_in_for() {
    const VIP: &str = "203.0.113.99:80";
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let warned = "no interface of this host has 203.0.113.99";
    for change in [["add", "far"], ["set", "web"]] {
        let change = [&["service"], &change[..], &["--vip", VIP, "--dry-run"]].concat();
        let tried = balancer.xdplb(&change);
        assert!(tried.status.success() && said(&tried).contains(warned), "{}", said(&tried));
    }
    let far = text(&testbed, &[1; 3]) + &service("far", VIP.parse().expect("an address"), &[]);
    for verb in [&["diff"][..], &["apply", "--dry-run"]] {
        let tried = apply(&balancer, &testbed, &far, verb);
        assert!(said(&tried).contains(warned), "{verb:?}: {}", said(&tried));
    }
    assert_eq!(balancer.services().len(), 1);
    let _ = balancer.done(&["service", "add", "far", "--vip", VIP]);
    let _ = balancer.done(&["service", "remove", "far"]);
    let back = balancer.xdplb(&["rollback", "--dry-run"]);
    assert!(said(&back).contains(warned), "{}", said(&back));
}
