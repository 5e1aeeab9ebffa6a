//! Schedulers other than round robin, with real servers.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use lb_testbed::{Host, Testbed};
use lb_tests::{
    balancer::Balancer,
    requests,
    servers::{client, nginx_everywhere},
    site::{Arms, Site, empty_testbed, text, vip},
};

/// Makes a site whose service `web` has this scheduler.
fn scheduled(name: &str) -> Site {
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    let balancer = Balancer::start(&testbed, &with_scheduler(&testbed, name));
    balancer.wait_for_ring_of(3);
    Site { balancer, servers, testbed }
}

fn with_scheduler(testbed: &Testbed, name: &str) -> String {
    text(testbed, &[1; 3])
        .replace("[service.health]", &format!("scheduler = \"{name}\"\n[service.health]"))
}

/// Opens connections that stay, and returns each with the server that answered on it.
fn held(from: &Host, to: SocketAddr, count: usize) -> Vec<(TcpStream, String)> {
    let connect = || (0..count).map(|_| answered(to)).collect();
    from.namespace.run(connect).expect("the namespace is there")
}

fn answered(to: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").expect("sent");
    let mut answer = String::new();
    while !answer.contains("\r\n\r\nbackend") || answer.ends_with("backend") {
        let mut part = [0; 1_024];
        let length = stream.read(&mut part).expect("an answer");
        assert!(length > 0, "{answer}");
        answer += std::str::from_utf8(&part[..length]).expect("text");
    }
    let name = answer.rsplit("\r\n").next().expect("a body").to_owned();
    (stream, name)
}

#[test]
#[ignore = "needs root"]
fn least_connections_keeps_away_from_who_has_many() {
    let site = scheduled("least-connections");
    let host = &site.testbed.clients()[0];
    let to = vip(&site.testbed);
    let mut all = held(host, to, 60);
    // All but one backend's connections end.
    all.retain(|(_, name)| name == "backend1");
    let busy = all.len();
    assert!((15..=25).contains(&busy), "{busy} of 60");
    site.balancer.wait_for("the others' connections to be closed", || {
        let services = site.balancer.services();
        let active: u64 = services[0].backends.iter().map(|one| one.active_connections).sum();
        active == busy as u64
    });
    let answers = requests::send(host, to, 300);
    assert_eq!(answers.get("backend1"), None, "{answers:?}");
    assert_eq!(answers.values().sum::<u64>(), 300);
    drop(all);
    let answers = requests::send(host, to, 300);
    assert!(answers.contains_key("backend1"), "{answers:?}");
}

#[test]
#[ignore = "needs root"]
fn a_connection_is_active_from_its_first_packet_on() {
    let Site { balancer, servers: _servers, testbed } = scheduled("round-robin");
    let active = || -> u64 {
        let services = balancer.services();
        services[0].backends.iter().map(|one| one.active_connections).sum()
    };
    let mut all = Vec::new();
    for count in 1..=6 {
        all.append(&mut held(&testbed.clients()[0], vip(&testbed), 1));
        assert_eq!(active(), count);
    }
}

#[test]
#[ignore = "needs root"]
fn source_hash_keeps_a_client_with_one_server() {
    let site = scheduled("source-hash");
    let host = &site.testbed.clients()[0];
    let url = format!("http://{}/", vip(&site.testbed));
    let mut seen = std::collections::HashSet::new();
    for last in 101..=120 {
        let address = Ipv4Addr::new(203, 0, 113, last);
        host.namespace.add_address("eth0", address, 24).expect("added");
        let from = address.to_string();
        let ask = || client(host, "curl", &["-sSf", "-m", "5", "--interface", &from, &url]);
        let first = ask();
        assert!((0..10).all(|_| ask() == first), "{address} went elsewhere");
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
#[ignore = "needs root"]
fn a_scheduler_is_changed_under_traffic() {
    let Site { balancer, servers: _servers, testbed } = scheduled("maglev");
    let host = &testbed.clients()[0];
    for name in ["random", "source-hash", "least-connections", "maglev", "round-robin"] {
        let set = balancer.xdplb(&["service", "set", "web", "--scheduler", name]);
        assert!(set.status.success(), "{set:?}");
        let services = balancer.services();
        assert_eq!(serde_json::to_value(services[0].policy.scheduler).expect("a word"), name);
        let answers = requests::send(host, vip(&testbed), 100);
        assert_eq!(answers.get(""), None, "{name}: {answers:?}");
        assert_eq!(answers.len() == 1, name == "source-hash", "{name}: {answers:?}");
    }
}
