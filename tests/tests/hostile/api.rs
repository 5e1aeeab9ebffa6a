//! Members of the group `xdplb` may use the API, and some of them are careless or malicious.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lb_model::Health;
use lb_tests::{
    balancer::{BINARY, Balancer},
    processes::own_memory,
    requests,
    servers::nginx_everywhere,
    site::{Arms, Site, empty_testbed, site, text, vip},
};
use nix::sys::signal::Signal;

/// Time within which the daemon answers, whatever else is asked of it.
const SOON: Duration = Duration::from_secs(5);

/// Longer than the daemon's time limits.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
#[ignore = "needs root"]
fn readers_that_never_read_stop_neither_expiry_nor_others() {
    const CONNECTIONS: u64 = 8_000;
    let testbed = empty_testbed(Arms::Two);
    let servers = nginx_everywhere(&testbed);
    let kept = "timeouts = { closing = \"10m\", closed = \"10m\" }\n[service.health]";
    let balancer =
        Balancer::start(&testbed, &text(&testbed, &[1; 3]).replace("[service.health]", kept));
    balancer.wait_for_ring_of(3);
    let answers = requests::send(&testbed.clients()[0], vip(&testbed), CONNECTIONS);
    assert_eq!(answers.get(""), None, "{answers:?}");
    balancer.wait_for("all connections in the table", || {
        balancer.status().flows.entries >= CONNECTIONS / 2
    });
    let readers: Vec<_> = (0..520)
        .map(|_| send(balancer.socket(), "GET /v1/connections HTTP/1.1\r\nhost: xdplb\r\n\r\n"))
        .collect();
    let set = ["service", "set", "web", "--timeouts", "closing=1s", "--timeouts", "closed=1s"];
    is_done_soon(&balancer, &set);
    balancer.wait_for("the connections to expire", || balancer.status().flows.entries < 100);
    is_done_soon(&balancer, &["conns", "--count"]);
    // One of the clients that do not read is disconnected to make room.
    is_done_soon(&balancer, &["conns"]);
    for reader in readers {
        is_cut_off(reader);
    }
    drop(servers);
}

#[test]
#[ignore = "needs root"]
fn half_requests_keep_nobody_out() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    let begun = Instant::now();
    let heads = (0..600).map(|_| "GET /v1/status HTTP/1.1\r\nhost:");
    let bodies = (0..600).map(|_| {
        "POST /v1/rollback HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{\"version\""
    });
    let mut halves = Vec::new();
    for half in heads.chain(bodies) {
        halves.push(send(balancer.socket(), half));
        if halves.len() % 100 == 0 {
            is_done_soon(&balancer, &["service", "list"]);
        }
    }
    for half in halves {
        is_cut_off(half);
    }
    println!("all were cut off after {:?}", begun.elapsed());
    is_done_soon(&balancer, &["service", "list"]);
}

#[test]
#[ignore = "needs root"]
fn idle_clients_leave_files_for_checks_and_others() {
    let testbed = empty_testbed(Arms::Two);
    let mut servers = nginx_everywhere(&testbed);
    let mut command = Command::new("prlimit");
    command.args(["--nofile=80:80", BINARY]);
    let balancer = Balancer::start_by(&testbed, &text(&testbed, &[1; 3]), command);
    balancer.wait_for_ring_of(3);
    let idle: Vec<_> = (0..100).map(|_| send(balancer.socket(), "")).collect();
    is_done_soon(&balancer, &["status"]);
    drop(servers.remove(0));
    balancer.wait_for("the dead backend to be down", || {
        balancer.services()[0].backends[0].health == Health::Down
    });
    drop(idle);
}

#[test]
#[ignore = "needs root"]
fn bodies_that_are_too_large_are_refused_and_cost_no_memory() {
    const MANY: usize = 200 << 20;
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    let before = own_memory(balancer.pid());
    for path in ["/v1/apply", "/v1/plan", "/v1/services", "/v1/rollback"] {
        let announced = format!(
            "POST {path} HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n\
             content-length: {MANY}\r\n\r\n"
        );
        let mut stream = send(balancer.socket(), &announced);
        let answer = answer(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        assert!(answer.contains("the body of the request is larger than"), "{path}: {answer}");
    }
    // Of a length that is not announced.
    let mut stream = send(
        balancer.socket(),
        "POST /v1/services HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n",
    );
    let piece = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
    let sent = (0..MANY >> 16).find(|_| stream.write_all(piece.as_bytes()).is_err());
    assert!(sent.is_some(), "all of it was taken");
    let grown = own_memory(balancer.pid()).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    is_done_soon(&balancer, &["status"]);
}

#[test]
#[ignore = "needs root"]
fn a_file_full_of_mistakes_stops_neither_api_nor_failing_over() {
    let Site { balancer, mut servers, testbed } = site(Arms::Two, [1; 3]);
    let mistakes = "[[service.backend]]\naddress = \"nowhere\"\nweight = -1\n".repeat(20_000);
    let file = text(&testbed, &[1; 3])
        + "[[service]]\nname = \"b\"\nvip = \"203.0.113.9:80\"\n"
        + &mistakes;
    let body = serde_json::json!({ "path": "bad.toml", "text": file }).to_string();
    let request = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (socket, plan, apply) = (balancer.socket(), request("/v1/plan"), request("/v1/apply"));
    thread::scope(|scope| {
        let sent: Vec<_> = [&plan, &apply, &plan, &apply]
            .map(|request| scope.spawn(move || answer(&mut send(socket, request))))
            .into_iter()
            .collect();
        drop(servers.remove(0));
        balancer.reload(&file);
        balancer.wait_for("the dead backend to be down", || {
            let begun = Instant::now();
            let services = balancer.services();
            assert!(begun.elapsed() < SOON, "an answer after {:?}", begun.elapsed());
            services[0].backends[0].health == Health::Down
        });
        for sent in sent {
            let answer = sent.join().expect("no panic");
            assert!(answer.starts_with("HTTP/1.1 422 "), "{}", &answer[..100]);
            assert_eq!(answer.matches("--> bad.toml:").count(), 100);
            assert!(answer.contains("and 39900 more errors"), "{}", &answer[answer.len() - 99..]);
        }
    });
    let log = testbed.directory().join("log");
    balancer.wait_for("the reload to be refused", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("and 39900 more errors"))
    });
    assert_eq!(balancer.services().len(), 1, "nothing has changed");
}

/// Two clients read a backend, and both set a weight by what they have read.
#[test]
#[ignore = "needs root"]
fn a_lost_update_is_refused() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    let address = balancer.services()[0].backends[0].address;
    let path = format!("/v1/services/web/backends/{address}");
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: xdplb\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        answer(&mut send(balancer.socket(), &request))
    };
    let tag = |answer: &str| {
        let tag = answer.lines().find_map(|line| line.strip_prefix("etag: "));
        tag.unwrap_or_else(|| panic!("no ETag in {answer}")).to_owned()
    };
    let read = tag(&ask("GET", &path, "", ""));
    let set = |tag: &str, weight: u16| {
        let body = format!("{{\"weight\":{weight}}}");
        ask("PATCH", &path, &format!("if-match: {tag}\r\n"), &body)
    };
    let first = set(&read, 5);
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let second = set(&read, 9);
    assert!(second.starts_with("HTTP/1.1 412 "), "{second}");
    assert!(second.contains("application/problem+json"), "{second}");
    let weight = || balancer.services()[0].backends[0].weight;
    assert_eq!(weight(), 5, "the first client's change is not lost");
    for (method, path, body) in [
        ("DELETE", "/v1/services/web", ""),
        ("PATCH", "/v1/services/web", "{\"scheduler\":\"random\"}"),
        ("POST", "/v1/services", "{\"name\":\"b\",\"vip\":\"203.0.113.9:81\"}"),
        ("POST", "/v1/services/web/backends", "{\"address\":\"10.0.0.99:80\"}"),
        ("POST", "/v1/rollback", "{}"),
    ] {
        let stale = ask(method, path, &format!("if-match: {read}\r\n"), body);
        assert!(stale.starts_with("HTTP/1.1 412 "), "{method} {path}: {stale}");
    }
    assert_eq!(tag(&ask("GET", "/v1/services", "", "")), tag(&first), "nothing has changed since");
    let second = set(&tag(&ask("GET", &path, "", "")), 9);
    assert!(second.starts_with("HTTP/1.1 200 "), "{second}");
    assert_eq!(weight(), 9);
    let any = set("*", 3);
    assert!(any.starts_with("HTTP/1.1 200 "), "{any}");
}

#[test]
#[ignore = "needs root"]
fn what_is_no_object_changes_nothing() {
    let Site { balancer, servers: _servers, testbed: _testbed } = site(Arms::Two, [1; 3]);
    let backend = balancer.services()[0].backends[0].address.to_string();
    balancer.done(&["backend", "set", "web", &backend, "--weight", "3"]);
    let before = balancer.done(&["history"]);
    let of_backend = format!("/v1/services/web/backends/{backend}");
    for (method, path, body) in [
        ("POST", "/v1/rollback", "[]"),
        ("POST", "/v1/rollback", "[1]"),
        ("PATCH", &of_backend, "[9,false,\"draining\",null]"),
        ("PATCH", "/v1/services/web", "[]"),
        ("POST", "/v1/services/web/backends", "[\"10.0.0.99:80\"]"),
        (
            "POST",
            "/v1/services",
            "{\"name\":\"b\",\"vip\":\"203.0.113.9:80\",\"backend\":[[\"10.0.0.9:80\",3]]}",
        ),
        ("POST", "/v1/apply", "[\"f\",\"\"]"),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: xdplb\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = answer(&mut send(balancer.socket(), &request));
        assert!(answer.starts_with("HTTP/1.1 422 "), "{path}: {answer}");
    }
    assert_eq!(balancer.done(&["history"]), before);
    balancer.stop(Signal::SIGTERM);
}

fn is_done_soon(balancer: &Balancer, arguments: &[&str]) {
    let begun = Instant::now();
    balancer.done(arguments);
    assert!(begun.elapsed() < SOON, "{arguments:?} took {:?}", begun.elapsed());
}

/// Connects and sends the start of a request, or all of it.
fn send(socket: &Path, request: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).expect("listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    // A client that is refused early, or disconnected to make room, may be unable to send all of
    // it.
    stream.write_all(request.as_bytes()).ok();
    stream
}

/// Returns the head of a response, and the body up to its end.
fn answer(stream: &mut UnixStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 1 << 14]);
    loop {
        let said = String::from_utf8_lossy(&text);
        if said.split_once("\r\n\r\n").is_some_and(|(head, body)| length(head) == Some(body.len()))
        {
            return said.into_owned();
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => text.extend_from_slice(&piece[..count]),
            ended => panic!("{ended:?} after {said}"),
        }
    }
}

fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

/// Reads up to the end of the stream, which must come.
fn is_cut_off(mut stream: UnixStream) {
    let mut piece = [0; 1 << 14];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("still connected after {PATIENCE:?}")
            }
            Err(_) => return,
        }
    }
}
