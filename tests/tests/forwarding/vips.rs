//! Services that get another VIP.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use lb_tests::{
    balancer::Balancer,
    requests,
    site::{Arms, Site, site, text, vip},
};
use nix::sys::signal::Signal;

use crate::maps::Maps;

/// Sends a request on a connection that stays open, and returns true if it is answered.
fn is_answered(stream: &mut TcpStream) -> bool {
    let mut start = [0; 12];
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").is_ok()
        && stream.read_exact(&mut start).is_ok()
        && start == *b"HTTP/1.1 200"
        && read_rest(stream)
}

/// Reads an answer to its end.
fn read_rest(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_exact(&mut byte).is_err() {
            return false;
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).is_ok()
}

fn open(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("accepted");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
    assert!(is_answered(&mut stream), "the first request");
    stream
}

/// Returns the connections of all backends: since the start, and now.
fn counts(balancer: &Balancer) -> (u64, u64) {
    let services = balancer.services();
    let backends = || services.iter().flat_map(|service| &service.backends);
    (
        backends().map(|one| one.connections_total).sum(),
        backends().map(|one| one.active_connections).sum(),
    )
}

#[test]
#[ignore = "needs root"]
fn connections_go_on_while_their_service_gets_another_vip() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let short = text(&testbed, &[1; 3]) + "[service.timeouts]\nclosed = \"500ms\"\n";
    balancer.reload(&short);
    let (client, old) = (&testbed.clients()[0], vip(&testbed));
    let new = SocketAddr::new(old.ip(), 81);
    let all = BTreeSet::from(["backend0", "backend1", "backend2"]);
    let served = |to: SocketAddr| {
        let answers = requests::send(client, to, 30);
        assert_eq!(answers.keys().map(String::as_str).collect::<BTreeSet<_>>(), all);
    };
    served(old);
    let opened = || (0..3).map(|_| open(old)).collect();
    let mut streams: Vec<TcpStream> = client.namespace.run(opened).expect("runs");
    balancer.wait_for("three connections", || counts(&balancer) == (33, 3));

    balancer.done(&["service", "set", "web", "--vip", &new.to_string()]);
    assert_eq!(counts(&balancer), (33, 3));
    assert_eq!(requests::send(client, old, 1)[""], 1, "nobody serves it");
    served(new);
    assert!(streams.iter_mut().all(is_answered), "they are open");
    balancer.wait_for("three connections", || counts(&balancer) == (63, 3));
    let stats = balancer.done(&["stats", "-o", "json"]);
    assert!(!stats.contains("removed_left"), "{stats}");
    assert!(!balancer.done(&["status"]).contains("removed"));

    balancer.stop(Signal::SIGTERM);
    let balancer = Balancer::start(&testbed, &short);
    balancer.wait_for_ring_of(3);
    assert!(streams.iter_mut().all(is_answered), "after a restart");
    assert_eq!(counts(&balancer), (63, 3));

    balancer.done(&["service", "set", "web", "--vip", &old.to_string()]);
    served(old);
    assert!(streams.iter_mut().all(is_answered), "at the former VIP again");
    drop(streams);
    let maps = Maps::open(&testbed);
    balancer.wait_for("the release of the other ids", || maps.backends_set() == 3);
    assert_eq!(counts(&balancer), (93, 0));
}
