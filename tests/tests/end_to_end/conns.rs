//! Connections are listed as they are.

use std::{
    collections::HashSet,
    fs,
    net::TcpStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use aya::maps::{Map, MapData};
use lb_common::{
    backend::Hop,
    flow::{FlowKey, marks},
    table::{Opening, open},
};
use lb_tests::{balancer::Balancer, requests, servers::nginx_everywhere};
use lb_userspace::{
    bed::Bed,
    connections::{Connection, ConnectionState, Counts},
    dataplane::{FLOWS, FlowTable, Plan, now},
};

use crate::bed::{Arms, Site, backend, empty_bed, site, text, vip};

#[test]
#[ignore = "needs root"]
fn open_connections_are_listed_with_both_ends() {
    let Site { balancer, servers: _servers, bed } = site(Arms::Two, [1; 3]);
    let client = &bed.clients()[0];
    let connect = || TcpStream::connect(vip(&bed)).expect("accepted");
    let streams: Vec<_> = (0..6).map(|_| client.namespace.run(connect).expect("runs")).collect();
    balancer.wait_for("six handshakes", || {
        balancer.done(&["conns", "--state", "established", "--count"]).starts_with("6 ")
    });
    let listed = listed(&balancer, &["--state", "established"]);
    let ends = listed.iter().map(|connection| connection.client);
    let expected = streams.iter().map(|stream| stream.local_addr().expect("bound"));
    assert_eq!(ends.collect::<HashSet<_>>(), expected.collect());
    for connection in &listed {
        assert_eq!(connection.service.as_deref(), Some("web"));
        assert_eq!(connection.vip, vip(&bed));
        assert_eq!(connection.state, ConnectionState::Established);
        assert!(connection.idle_seconds <= connection.age_seconds, "{connection:?}");
    }
    let first = backend(&bed, 0).to_string();
    let rows = balancer.done(&["conns", "--backend", &first, "--state", "established"]);
    assert_eq!(rows.lines().count(), 1 + 2, "{rows}");
    let port = streams[0].local_addr().expect("bound").to_string();
    assert_eq!(self::listed(&balancer, &["--client", &port]).len(), 1);
    assert_eq!(self::listed(&balancer, &["--service", "nope"]), []);
    assert_eq!(self::listed(&balancer, &["--limit", "4"]).len(), 4);
}

/// Through the real daemon, while clients go on.
#[test]
#[ignore = "needs root"]
fn a_million_connections_are_listed_under_traffic() {
    const MANY: u32 = 1_000_000;
    const ROOM: u32 = 1_100_000;
    let bed = empty_bed(Arms::Two);
    let _servers = nginx_everywhere(&bed);
    let larger = text(&bed, &[1; 3]).replace("flows = 100_000", "flows = 1_100_000");
    let balancer = Balancer::start(&bed, &larger);
    balancer.wait_for_ring_of(3);
    fill(&pinned(&bed, ROOM), MANY);

    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        let (client, to) = (&bed.clients()[0], vip(&bed));
        let going = || goes_on.load(Ordering::Relaxed);
        let sender = scope.spawn(move || requests::send_while(client, to, going));
        let held = ["conns", "--client", "198.18.0.0/15", "-o", "json"];
        let begun = Instant::now();
        let counts: Counts =
            serde_json::from_str(&balancer.done(&[&held[..], &["--count"]].concat()))
                .expect("JSON");
        println!("counted in {:?}", begun.elapsed());
        assert_eq!((counts.total, counts.established), (MANY.into(), MANY.into()));
        let begun = Instant::now();
        let lines = balancer.done(&held);
        println!("listed as JSON in {:?}", begun.elapsed());
        assert_eq!(lines.lines().count(), MANY as usize);
        let begun = Instant::now();
        let rows = balancer.done(&held[..3]);
        println!("listed in a table in {:?}", begun.elapsed());
        assert_eq!(rows.lines().count(), MANY as usize + 1);
        goes_on.store(false, Ordering::Relaxed);
        let answers = sender.join().expect("no panic");
        assert!(answers.values().sum::<u64>() > 0);
        assert_eq!(answers.get(""), None, "{answers:?}");
    });
}

fn listed(balancer: &Balancer, filter: &[&str]) -> Vec<Connection> {
    let lines = balancer.done(&[&["conns", "-o", "json"], filter].concat());
    lines.lines().map(|line| serde_json::from_str(line).expect("a connection")).collect()
}

/// The running daemon's flow table.
fn pinned(bed: &Bed, connections: u32) -> FlowTable {
    let mut layouts = fs::read_dir(bed.bpffs().join("xdplb")).expect("pinned");
    let pin: PathBuf = layouts.next().expect("a layout").expect("readable").path().join(FLOWS);
    let plan = Plan::new(connections).and_then(|plan| plan.or_of_pin(&pin)).expect("labelled");
    let mut map = Map::Array(MapData::from_pin(&pin).expect("pinned"));
    plan.open(&mut map).expect("maps")
}

/// Opens connections that nobody uses.
fn fill(flows: &FlowTable, connections: u32) {
    for number in 0..connections {
        let [a, b, c, d] = number.to_be_bytes();
        let inside = &FlowKey::tcp([198, 18 + a, b, 7], [c, d], [203, 0, 113, 10], [0, 80]);
        let outside = FlowKey::tcp([10, 99, a, b], [c, d], [10, 0, 0, 11], [0, 80]);
        let marks = marks::CLIENT_SYN | marks::CLIENT_ACK | marks::BACKEND_SYN;
        let opening = Opening { inside, client: Hop::default(), backend: 1, marks, now: now() };
        open(flows.table(), &opening, &outside).expect("room");
    }
}
