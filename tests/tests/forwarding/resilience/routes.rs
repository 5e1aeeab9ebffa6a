//! Routes, own addresses, and changes that the daemon was not notified of.

use std::{fmt::Write as _, fs, net::Ipv4Addr, time::Instant};

use lb_tests::{
    servers::{self, PORT, client},
    site::{Arms, Site, backend, empty_testbed, vip},
};
use nix::sys::signal::Signal;

use super::{FOLLOWED, SECOND, answer_within, ip, log, silence_while, unchecked_site, warns};

/// An address that is reached through routers only.
const REMOTE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[test]
#[ignore = "needs root"]
fn routes_are_followed_to_other_routers_and_interfaces_and_back() {
    let mut testbed = empty_testbed(Arms::Two);
    testbed.add_client().expect("root");
    let Site { balancer, testbed, servers } = &mut unchecked_site(testbed, "", |testbed| {
        for host in testbed.backends().iter().chain(&testbed.clients()[1..]) {
            ip(&host.namespace, &["addr", "add", &format!("{REMOTE}/32"), "dev", "lo"]);
        }
        ip(testbed.balancer(), &["route", "add", &REMOTE.to_string(), "via", "10.0.0.11"]);
        vec![(REMOTE, PORT).into()]
    });
    let neighbour = &testbed.clients()[1];
    let as_backend2 = testbed.directory().join("nginx2/nginx.conf").display().to_string();
    drop(servers.pop());
    servers.push(servers::start(&neighbour.namespace, "nginx", &["-c", &as_backend2]));
    for (gateway, name) in [
        (testbed.backends()[1].address, "backend1"),
        (neighbour.address, "backend2"),
        (testbed.backends()[0].address, "backend0"),
    ] {
        let silence = silence_while(testbed, || {
            let [to, gateway] = [REMOTE.to_string(), gateway.to_string()];
            ip(testbed.balancer(), &["route", "replace", &to, "via", &gateway]);
        });
        eprintln!("route over {gateway}: no answer for {silence:?}");
        assert!(silence < FOLLOWED, "{silence:?}");
        assert_eq!(answer_within(testbed, SECOND).as_deref(), Some(name));
    }
    ip(testbed.balancer(), &["route", "del", &REMOTE.to_string()]);
    let reason = format!("no route to {REMOTE}");
    balancer.wait_for("no route", || warns(balancer, &reason));
    assert_eq!(answer_within(testbed, SECOND / 2), None);
    ip(testbed.balancer(), &["route", "add", &REMOTE.to_string(), "via", "10.0.0.12"]);
    assert_eq!(answer_within(testbed, SECOND).as_deref(), Some("backend1"));
}

#[test]
#[ignore = "needs root"]
fn source_addresses_that_come_and_go_are_followed() {
    let testbed = empty_testbed(Arms::Two);
    let rest = "snat_addresses = [\"10.0.0.2\"]";
    let Site { balancer, testbed, .. } =
        &unchecked_site(testbed, rest, |testbed| vec![backend(testbed, 0)]);
    let missing = "10.0.0.2 of `snat_addresses` is on no interface";
    let who = format!("http://{}/who", vip(testbed));
    let seen = || client(&testbed.clients()[0], "curl", &["-sS", "-m", "2", &who]);
    for _ in 0..2 {
        assert_eq!(seen(), "10.0.0.1");
        assert!(warns(balancer, missing));
        ip(testbed.balancer(), &["addr", "add", "10.0.0.2/24", "dev", "eth1"]);
        balancer.wait_for("the source", || seen() == "10.0.0.2");
        assert!(!warns(balancer, missing));
        ip(testbed.balancer(), &["addr", "del", "10.0.0.2/24", "dev", "eth1"]);
        balancer.wait_for("the kernel's choice", || seen() == "10.0.0.1");
    }
}

#[test]
#[ignore = "needs root"]
fn events_that_were_lost_are_read_anew() {
    let testbed = empty_testbed(Arms::Two);
    let Site { balancer, testbed, .. } =
        &unchecked_site(testbed, "", |testbed| vec![backend(testbed, 0)]);
    balancer.signal(Signal::SIGSTOP);
    let batch = testbed.directory().join("batch");
    let mut lines = String::new();
    for nth in 0..20_000 {
        let address = Ipv4Addr::from([10, 0, 0, 100 + u8::try_from(nth / 2 % 100).expect("few")]);
        let verb = if nth % 2 == 0 { "replace" } else { "del" };
        let mac = if nth % 2 == 0 { "lladdr 02:00:00:00:00:01 nud permanent" } else { "" };
        writeln!(lines, "neigh {verb} {address} dev eth1 {mac}").expect("a string");
    }
    fs::write(&batch, lines).expect("written");
    ip(testbed.balancer(), &["-batch", &batch.display().to_string()]);
    // The notifications of these changes are lost in the overrun.
    ip(testbed.balancer(), &["addr", "add", "10.0.0.3/24", "dev", "eth1"]);
    testbed.unplug_balancer("eth1").expect("root");
    testbed.replug_balancer("eth1").expect("root");
    let host = &testbed.backends()[0].namespace;
    ip(host, &["link", "set", "eth0", "address", "02:00:00:00:bb:01"]);
    balancer.signal(Signal::SIGCONT);
    let begin = Instant::now();
    assert_eq!(answer_within(testbed, 3 * SECOND).as_deref(), Some("backend0"));
    eprintln!("after an overrun: first answer after {:?}", begin.elapsed());
    let log = log(testbed);
    assert!(log.contains("reading the kernel's network again"), "{log}");
}
