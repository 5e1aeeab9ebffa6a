//! `xdplb explain`, against what real connections then meet.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
};

use lb_model::{
    connections::Connection,
    views::explanation::{Explanation, FlowMet},
};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    site::{Site, backend, vip},
};

use super::watched::site;

/// Ports that clients use by themselves are higher.
const FIRST_PORT: u16 = 20_000;

#[test]
#[ignore = "needs root"]
fn a_connection_meets_what_was_explained() {
    let Site { balancer, servers: _servers, testbed } = site("");
    for port in FIRST_PORT..FIRST_PORT + 10 {
        let told = explained(&balancer, &testbed, port, &[]);
        let selection = told.selection.expect("a new connection");
        assert_eq!((told.flow, told.connection), (FlowMet::Unknown, None));
        connect(&testbed, port);
        let met = connection(&balancer, &testbed, port);
        let sent = told.sent.expect("forwarded");
        assert_eq!((Some(met.backend), met.source), (selection.backend, sent.from));
        assert_eq!((sent.to, sent.interface.as_str()), (met.backend, "eth1"));
    }
}

#[test]
#[ignore = "needs root"]
fn the_reasons_against_each_other_backend_are_named() {
    let Site { balancer, mut servers, testbed } = site("");
    let [first, second, third] = [0, 1, 2].map(|nth| backend(&testbed, nth));
    balancer.done(&["backend", "drain", "web", &first.to_string()]);
    drop(servers.remove(1));
    balancer.wait_for_ring_of(1);
    let told = explained(&balancer, &testbed, FIRST_PORT, &[]);
    let selection = told.selection.expect("a new connection");
    assert_eq!((selection.backend, selection.slot, selection.slots), (Some(third), Some(1), 1));
    let why = |address| {
        let found = selection.candidates.iter().find(|one| one.address == address);
        found.expect("listed").why_not.clone()
    };
    assert_eq!(why(first).as_deref(), Some("draining"));
    let down = why(second).expect("not selected");
    assert!(down.starts_with("down since ") && down.contains("refused"), "{down}");
    assert_eq!(why(third), None);
    balancer.done(&["backend", "disable", "web", &third.to_string()]);
    balancer.wait_for_ring_of(0);
    let told = explained(&balancer, &testbed, FIRST_PORT, &[]);
    assert_eq!(told.reason, "reset_no_backend");
    assert_eq!(told.sent.and_then(|sent| sent.to_mac), None, "back to a sender that is not known");
    assert_eq!(told.selection.expect("tried").backend, None);
}

#[test]
#[ignore = "needs root"]
fn a_removed_backend_that_has_connections_is_listed() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let connect = || TcpStream::connect(vip(&testbed)).expect("accepted");
    let _open: Vec<_> = {
        let client = &testbed.clients()[0].namespace;
        client.run(|| (0..9).map(|_| connect()).collect()).expect("the namespace")
    };
    let first = backend(&testbed, 0);
    balancer.done(&["backend", "remove", "web", &first.to_string()]);
    let selection = explained(&balancer, &testbed, FIRST_PORT, &[]).selection.expect("a new one");
    let found = selection.candidates.iter().find(|one| one.address == first).expect("listed");
    let why = found.why_not.as_deref().expect("not selected");
    assert!(why.starts_with("removed, ") && why.ends_with(" left"), "{why}");
}

#[test]
#[ignore = "needs root"]
fn an_explanation_changes_nothing() {
    let Site { balancer, servers: _servers, testbed } = site("");
    connect(&testbed, FIRST_PORT);
    let state = || {
        let traffic = balancer.done(&["stats", "web", "-o", "json"]);
        let traffic = traffic.lines().filter(|line| !line.contains("\"at\"")).collect::<String>();
        (traffic, balancer.done(&["conns", "--count"]))
    };
    let before = state();
    let open = explained(&balancer, &testbed, FIRST_PORT, &["--flags", "ack"]);
    assert_eq!((open.flow, open.service.as_deref()), (FlowMet::Known, Some("web")));
    for port in FIRST_PORT + 1..FIRST_PORT + 20 {
        for flags in ["syn", "ack", "rst"] {
            explained(&balancer, &testbed, port, &["--flags", flags]);
        }
    }
    assert_eq!(state(), before);
}

#[test]
#[ignore = "needs root"]
fn what_cannot_be_explained_is_named() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let vip = vip(&testbed).to_string();
    let refused = |arguments: &[&str]| {
        let output = balancer.xdplb(&[&["explain"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = refused(&["203.0.113.100:1", &vip, "--interface", "eth9"]);
    assert_eq!(
        (code, said.trim_end()),
        (Some(2), "xdplb: eth9 is not one of the balancer's interfaces: eth0, eth1")
    );
    let (code, said) = refused(&["203.0.113.100", &vip]);
    assert!(code == Some(2) && said.contains("give an IPv4 address and a port"), "{said}");
    let (code, said) = refused(&["203.0.113.100:1", &vip, "--flags", "sin"]);
    assert!(code == Some(2) && said.contains("`sin` is not a TCP flag"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn what_is_to_a_service_names_it_and_what_keeps_packets_out() {
    let Site { balancer, servers: _servers, testbed } = site("");
    let stray = explained(&balancer, &testbed, FIRST_PORT, &["--flags", "ack"]);
    assert_eq!((&*stray.reason, stray.service.as_deref()), ("reset_unknown_flow", Some("web")));
    assert_eq!(stray.warnings, [""; 0]);
    let down = ["-n", testbed.balancer().name(), "link", "set", "eth0", "down"];
    assert!(Command::new("ip").args(down).status().expect("ip").success());
    balancer.wait_for("the link", || {
        let told = explained(&balancer, &testbed, FIRST_PORT, &["--interface", "eth0"]);
        told.warnings == ["eth0 is down"]
    });
}

fn explained(balancer: &Balancer, testbed: &Testbed, port: u16, more: &[&str]) -> Explanation {
    let client = client(testbed, port);
    let vip = vip(testbed).to_string();
    let told = balancer.done(&[&["explain", &client, &vip, "-o", "json"], more].concat());
    serde_json::from_str(&told).expect("an explanation")
}

fn client(testbed: &Testbed, port: u16) -> String {
    format!("{}:{port}", testbed.clients()[0].address)
}

/// Opens a connection from this port.
fn connect(testbed: &Testbed, port: u16) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "10", "--local-port", &port.to_string()]);
    curl.arg(format!("http://{}/", vip(testbed))).stdout(Stdio::null());
    let client = &testbed.clients()[0].namespace;
    let ended = client.spawn(&mut curl).expect("curl").wait().expect("ended");
    assert!(ended.success(), "{ended}");
}

fn connection(balancer: &Balancer, testbed: &Testbed, port: u16) -> Connection {
    let listed = balancer.done(&["conns", "--client", &client(testbed, port), "-o", "json"]);
    serde_json::from_str(&listed).expect("one connection")
}
