//! Changes that the daemon refuses or warns of, and their dry runs.

use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, process::Output};

use lb_testbed::Testbed;
use lb_tests::{
    balancer::{Balancer, service},
    requests,
    site::{Arms, Site, backend, site, text, vip},
};
use nix::sys::signal::Signal;
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
    assert!(said(&real).contains("no room for the rings of all services"), "{}", said(&real));
    assert_eq!(real.status.code(), Some(1), "it clashes with the other services");
    assert_eq!((tried.status, said(&tried)), (real.status, said(&real)));
    let more = with_maglev(&testbed, MOST + 1);
    let diff = apply(&balancer, &testbed, &more, &["diff"]);
    assert_eq!(diff.status.code(), Some(2), "{}", said(&diff));
    assert!(said(&diff).contains("no room for the rings of all services"), "{}", said(&diff));
    let tried = apply(&balancer, &testbed, &more, &["apply", "--dry-run"]);
    let real = apply(&balancer, &testbed, &more, &["apply"]);
    assert!(said(&real).contains("no room for the rings of all services"), "{}", said(&real));
    assert_eq!((tried.status.code(), real.status.code()), (Some(2), Some(2)));
    assert!(said(&tried).contains("no room for the rings of all services"), "{}", said(&tried));
}

/// Adds a service to the last record of a journal: the last one of it with another name and VIP.
fn add_to_journal(journal: &Path, last: u16) {
    let whole = fs::read_to_string(journal).expect("a journal");
    let (former, record) = whole.trim_end().rsplit_once('\n').expect("two records");
    let (_, json) = record.split_once(' ').expect("a checksum");
    let mut entry: Value = serde_json::from_str(json).expect("a record");
    let services = entry["set"].as_array_mut().expect("services");
    let name = format!("m{last}");
    let service = services.iter().find(|service| service["name"] == name.as_str());
    let service = service.expect("the last one").to_string();
    let added = service.replace(&name, &format!("m{}", last + 1));
    let added = added.replace(&format!(":{}", 1_000 + last), &format!(":{}", 1_001 + last));
    services.push(serde_json::from_str(&added).expect("a service"));
    let json = entry.to_string();
    let sum = crc32fast::hash(json.as_bytes());
    fs::write(journal, format!("{former}\n{sum:08x} {json}\n")).expect("written");
}

#[test]
#[ignore = "needs root"]
fn services_that_ran_before_run_on_without_room_for_all() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::One, [1; 3]);
    let full = apply(&balancer, &testbed, &with_maglev(&testbed, MOST), &["apply"]);
    assert!(full.status.success(), "{}", said(&full));
    balancer.stop(Signal::SIGTERM);
    add_to_journal(&testbed.directory().join("state/journal"), MOST - 1);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    assert_eq!(balancer.services().len(), usize::from(MOST) + 2);
    let warned = || {
        let warnings = balancer.status().warnings.join("\n");
        warnings.contains("no room for the rings of all services")
            && warnings.contains("the kernel has been behind")
    };
    balancer.wait_for("warnings of the missing room", warned);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), 30);
    assert_eq!(answers.get(""), None, "{answers:?}");
    let first = backend(&testbed, 0).to_string();
    for order in ["drain", "enable"] {
        let _ = balancer.done(&["backend", order, "web", &first]);
    }
    let heavier = balancer.xdplb(&["backend", "set", "web", &first, "--weight=2"]);
    assert_eq!(heavier.status.code(), Some(1), "{}", said(&heavier));
    let _ = balancer.done(&["service", "remove", "m5"]);
    balancer.wait_for("the end of the warnings", || balancer.status().warnings.is_empty());
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
