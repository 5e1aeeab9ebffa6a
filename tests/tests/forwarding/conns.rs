//! Lists of connections are correct.

use std::{
    collections::HashSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use aya::maps::{Map, MapData};
use lb_common::{
    client_hops::NO_SLOT,
    flow::{FlowKey, flags_seen},
    table::{Opening, open},
};
use lb_dataplane::{BACKENDS, CLIENT_HOPS, FLOWS, FlowTable, TablePlan, now};
use lb_model::{
    connections::{Clients, Connection, ConnectionState, Counts},
    views::Stats,
};
use lb_testbed::Testbed;
use lb_tests::{
    balancer::Balancer,
    conversations::End,
    requests,
    servers::nginx_everywhere,
    site::{Arms, Site, backend, empty_testbed, site, text, vip},
};
use nix::sys::signal::Signal;

#[test]
#[ignore = "needs root"]
fn open_connections_are_listed_with_both_ends() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let streams = connect(&balancer, &testbed);
    let listed = listed(&balancer, &["--state", "established"]);
    let ends = listed.iter().map(|connection| connection.client);
    let expected = streams.iter().map(|stream| stream.local_addr().expect("bound"));
    assert_eq!(ends.collect::<HashSet<_>>(), expected.collect());
    for connection in &listed {
        assert_eq!(connection.service.as_deref(), Some("web"));
        assert_eq!(connection.vip, vip(&testbed));
        assert_eq!(connection.state, ConnectionState::Established);
        assert!(connection.idle_seconds <= connection.age_seconds, "{connection:?}");
    }
    let first = backend(&testbed, 0).to_string();
    let rows = balancer.done(&["conns", "--backend", &first, "--state", "established"]);
    assert_eq!(rows.lines().count(), 1 + 2, "{rows}");
    let port = streams[0].local_addr().expect("bound").to_string();
    assert_eq!(self::listed(&balancer, &["--client", &port]).len(), 1);
    let nobody = balancer.xdplb(&["conns", "--service", "nope"]);
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!((nobody.status.code(), &*said), (Some(1), "xdplb: there is no service nope\n"));
    let nobody = balancer.xdplb(&["conns", "--backend", "192.0.2.1:80"]);
    let said = String::from_utf8_lossy(&nobody.stderr);
    assert_eq!(
        (nobody.status.code(), &*said),
        (Some(1), "xdplb: there is no backend 192.0.2.1:80\n")
    );
    assert_eq!(self::listed(&balancer, &["--limit", "4"]).len(), 4);
    let oldest = self::listed(&balancer, &["--state", "established", "--sort", "age"]);
    assert_eq!(oldest.len(), streams.len());
    assert!(oldest.is_sorted_by(|one, next| one.age_seconds >= next.age_seconds), "{oldest:?}");
    let newest = ["--state", "established", "--sort", "age", "--reverse", "--limit", "1"];
    let [newest] = &self::listed(&balancer, &newest)[..] else { panic!("one is wanted") };
    let age = oldest.iter().find(|one| one.client == newest.client).map(|one| one.age_seconds);
    assert_eq!(age, oldest.last().map(|one| one.age_seconds));
    let busiest = balancer.done(&["conns", "--state", "established", "--top", "3"]);
    let client = testbed.clients()[0].address;
    let shown: Vec<_> = busiest.split_whitespace().collect();
    assert_eq!(shown[..4], ["CLIENT", "CONNECTIONS", &client.to_string(), "6"], "{busiest}");
    assert!(busiest.ends_with("1 client in all, 6 connections\n"), "{busiest}");
}

#[test]
#[ignore = "needs root"]
fn connections_of_what_was_removed_are_named_until_the_last_has_gone() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let mut streams = connect(&balancer, &testbed);
    let first = backend(&testbed, 0);
    balancer.done(&["backend", "remove", "web", &first.to_string()]);
    let warns_of = |what: &str| balancer.status().warnings.iter().any(|one| one.contains(what));
    balancer.wait_for("a warning of the removed backend's connections", || {
        warns_of(&format!("web: {first} removed, 2 connections left"))
    });
    let of_first = ["--backend", &first.to_string(), "--state", "established"];
    let named = |name: &str| {
        let listed = listed(&balancer, &of_first);
        listed.len() == 2 && listed.iter().all(|one| one.service.as_deref() == Some(name))
    };
    assert!(named("web"), "the service is still there");
    balancer.done(&["service", "remove", "web"]);
    let all = format!("web: removed, {} connections left", streams.len());
    balancer.wait_for("a warning of the removed service's connections", || warns_of(&all));
    assert!(named("web (removed)"));
    let of_service = listed(&balancer, &["--service", "web", "--state", "established"]);
    assert_eq!(of_service.len(), streams.len());
    let stats: Stats =
        serde_json::from_str(&balancer.done(&["stats", "-o", "json"])).expect("the shape");
    let web = stats.services.iter().find(|one| one.name == "web").expect("still counted");
    assert!(web.removed, "{web:?}");
    let left: u64 = web.backends.iter().filter_map(|one| one.removed_left).sum();
    assert_eq!(left, streams.len() as u64, "{web:?}");
    assert!(web.backends.iter().all(|one| one.connections > 0), "{web:?}");
    streams.truncate(1);
    balancer.wait_for("a warning of the open connection alone", || {
        warns_of("web: removed, 1 connection left")
    });
    // Another one that has the VIP takes the place of the one that was removed.
    let own = vip(&testbed).to_string();
    balancer.done(&["service", "add", "other", "--vip", &own]);
    balancer.wait_for("no word of a removed service", || !warns_of("web: removed"));
}

#[test]
#[ignore = "needs root"]
fn connections_go_on_when_a_killed_daemon_is_followed_by_another() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    let streams = connect(&balancer, &testbed);
    let ends = |balancer: &Balancer| -> HashSet<_> {
        let listed = listed(balancer, &["--state", "established"]).into_iter();
        listed
            .map(|connection| (connection.client, connection.source, connection.backend))
            .collect()
    };
    let before = ends(&balancer);
    balancer.stop(Signal::SIGKILL);
    let balancer = Balancer::start(&testbed, &text(&testbed, &[1; 3]));
    assert_eq!(ends(&balancer), before);
    for mut stream in streams {
        stream.write_all(b"ET / HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        assert!(answer.contains("backend"), "{answer}");
    }
}

#[test]
#[ignore = "needs root"]
fn readers_that_leave_or_linger_hold_nobody_up() {
    let Site { balancer, servers: _servers, testbed } = site(Arms::Two, [1; 3]);
    fill(&pinned(&testbed, 100_000), 80_000);
    let mut lingering = UnixStream::connect(balancer.socket()).expect("listens");
    lingering.write_all(b"GET /v1/connections HTTP/1.1\r\nhost: xdplb\r\n\r\n").expect("sent");
    let mut head = [0; 512];
    lingering.read_exact(&mut head).expect("answered");
    let head = String::from_utf8_lossy(&head);
    assert!(head.contains("content-type: application/x-ndjson"), "{head}");

    for format in ["table", "json"] {
        let mut command = balancer.command(&["conns", "-o", format]);
        let mut leaving =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let mut first = [0; 100];
        leaving.stdout.take().expect("piped").read_exact(&mut first).expect("printed");
        let ended = leaving.wait_with_output().expect("ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{format}: {ended:?}");
    }
    let count = ["conns", "--client", HELD, "--count", "-o", "json"];
    let counts: Counts = serde_json::from_str(&balancer.done(&count)).expect("JSON");
    assert_eq!(counts.total, 80_000);
    // The reader that lingers does not delay it.
    balancer.stop(Signal::SIGTERM);
}

/// With the real daemon, while clients make requests.
#[test]
#[ignore = "needs root"]
fn a_million_connections_are_listed_under_traffic() {
    const MANY: u32 = 1_000_000;
    const ROOM: u32 = 1_100_000;
    let testbed = empty_testbed(Arms::Two);
    let _servers = nginx_everywhere(&testbed);
    let larger = text(&testbed, &[1; 3]).replace("flows = 100_000", "flows = 1_100_000");
    let balancer = Balancer::start(&testbed, &larger);
    balancer.wait_for_ring_of(3);
    fill(&pinned(&testbed, ROOM), MANY);

    let goes_on = AtomicBool::new(true);
    let lines = thread::scope(|scope| {
        let (client, to) = (&testbed.clients()[0], vip(&testbed));
        let going = || goes_on.load(Ordering::Relaxed);
        let sender = scope.spawn(move || requests::send_while(client, to, going));
        let end = End(&goes_on);
        let held = ["conns", "--client", HELD, "-o", "json"];
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
        let begun = Instant::now();
        let oldest = balancer.done(&[&held[..], &["--sort", "age", "--limit", "10"]].concat());
        println!("the ten oldest in {:?}", begun.elapsed());
        assert_eq!(oldest.lines().count(), 10);
        let begun = Instant::now();
        let top = balancer.done(&[&held[..], &["--top", "2"]].concat());
        println!("the busiest clients in {:?}", begun.elapsed());
        let top: Clients = serde_json::from_str(&top).expect("JSON");
        assert_eq!((top.clients, top.connections), (16, MANY.into()));
        assert_eq!(top.busiest.len(), 2);
        drop(end);
        let answers = sender.join().expect("no panic");
        assert!(answers.values().sum::<u64>() > 0);
        assert_eq!(answers.get(""), None, "{answers:?}");
        lines
    });
    let mut clients = HashSet::new();
    for line in lines.lines() {
        let connection: Connection = serde_json::from_str(line).expect("a connection");
        assert_eq!(connection.service.as_deref(), Some("web"), "{line}");
        assert_eq!(
            (connection.vip, connection.backend),
            (vip(&testbed), backend(&testbed, 0)),
            "{line}"
        );
        assert!(clients.insert(connection.client), "told twice: {line}");
    }
}

/// Opens six connections, on which nothing more is sent.
fn connect(balancer: &Balancer, testbed: &Testbed) -> Vec<TcpStream> {
    let connect = || {
        let mut stream = TcpStream::connect(vip(testbed)).expect("accepted");
        // The start of a request: its acknowledgement confirms the connection to the balancer.
        stream.write_all(b"G").expect("sent");
        stream
    };
    let client = &testbed.clients()[0].namespace;
    let streams = (0..6).map(|_| client.run(connect).expect("runs")).collect();
    balancer.wait_for("six handshakes", || {
        balancer.done(&["conns", "--state", "established", "--count"]).starts_with("6 ")
    });
    streams
}

fn listed(balancer: &Balancer, filter: &[&str]) -> Vec<Connection> {
    let lines = balancer.done(&[&["conns", "-o", "json"], filter].concat());
    lines.lines().map(|line| serde_json::from_str(line).expect("a connection")).collect()
}

/// Opens the running daemon's flow table.
fn pinned(testbed: &Testbed, connections: u32) -> FlowTable {
    let mut layouts = fs::read_dir(testbed.bpffs().join("xdplb")).expect("pinned");
    let layout: PathBuf = layouts.next().expect("a layout").expect("readable").path();
    let plan = TablePlan::new(connections).and_then(|plan| plan.with_seed_of(&layout.join(FLOWS)));
    let map = |name| Map::Array(MapData::from_pin(layout.join(name)).expect("pinned"));
    plan.expect("labelled").open(&map(FLOWS), &map(BACKENDS), &map(CLIENT_HOPS)).expect("maps")
}

/// Network of the clients of the connections that [`fill`] opens.
const HELD: &str = "198.18.0.0/15";

/// Opens connections that nobody uses.
fn fill(flows: &FlowTable, connections: u32) {
    for number in 0..connections {
        let [a, b, c, d] = number.to_be_bytes();
        let inside = &FlowKey::tcp([198, 18 + a, b, 7], [c, d], [203, 0, 113, 10], [0, 80]);
        let outside = FlowKey::tcp([10, 99, a, b], [c, d], [10, 0, 0, 11], [0, 80]);
        let seen = flags_seen::SHAKEN | flags_seen::PROVEN;
        let opening = Opening { inside, hop: NO_SLOT, backend: 1, seen, number: 0, now: now() };
        open(flows.table(), &opening, &outside).expect("room");
    }
}
