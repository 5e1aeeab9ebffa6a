//! Connections that are killed end at both ends.

use std::{
    collections::HashMap,
    fs,
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{JoinHandle, sleep, spawn},
    time::{Duration, Instant},
};

use lb_model::connections::{Connection, Kill};
use lb_testbed::{Host, Testbed};
use lb_tests::{
    balancer::{BINARY, Balancer, configuration},
    console::Console,
    conversations,
    site::{Arms, empty_testbed},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portable_pty::CommandBuilder;

const PORT: u16 = 7;

/// Time in which both ends must be reset.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service `echo` of one backend, which sends each connection that it accepts.
fn site() -> (Balancer, Testbed, Receiver<TcpStream>) {
    site_by(Command::new(BINARY))
}

/// As [`site`], with a daemon that this command starts.
fn site_by(command: Command) -> (Balancer, Testbed, Receiver<TcpStream>) {
    let testbed = empty_testbed(Arms::Two);
    let (give, accepted) = channel();
    serve(&testbed.backends()[0], give);
    let (vip, backend) = (vip(&testbed), SocketAddr::from((testbed.backends()[0].address, PORT)));
    // Checks would be connections to the server, too.
    let service = format!(
        "[[service]]\nname = \"echo\"\nvip = \"{vip}\"\nhealth.type = \"none\"\n\
         [[service.backend]]\naddress = \"{backend}\"\n"
    );
    let text = configuration(&testbed, "") + &service;
    let balancer = Balancer::start_by(&testbed, &text, command);
    balancer.wait_for("its backend", || balancer.services()[0].backends[0].in_ring);
    (balancer, testbed, accepted)
}

fn vip(testbed: &Testbed) -> SocketAddr {
    (testbed.vip(), PORT).into()
}

fn serve(host: &Host, give: Sender<TcpStream>) {
    let listen = || TcpListener::bind((host.address, PORT)).expect("a free port");
    let listener = host.namespace.run(listen).expect("the namespace");
    spawn(move || listener.incoming().flatten().try_for_each(|stream| give.send(stream)));
}

/// Connects, and waits until both ends know of it.
fn connect(testbed: &Testbed, accepted: &Receiver<TcpStream>) -> (TcpStream, TcpStream) {
    let connect = || TcpStream::connect(vip(testbed)).expect("accepted");
    let mut client = testbed.clients()[0].namespace.run(connect).expect("the namespace");
    let mut server = accepted.recv_timeout(PATIENCE).expect("accepted");
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    }
    let mut byte = [0];
    client.write_all(b"a").and_then(|()| server.read_exact(&mut byte)).expect("sent");
    server.write_all(b"b").and_then(|()| client.read_exact(&mut byte)).expect("answered");
    (client, server)
}

/// Returns how a connection ends that its end only reads from.
fn end(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    stream.read(&mut [0]).map_err(|error| error.kind())
}

/// Returns what ends a connection that sends all the time.
fn talk(mut stream: TcpStream) -> JoinHandle<io::Error> {
    const PAUSE: Duration = Duration::from_millis(2);
    spawn(move || {
        loop {
            let talked = stream.write_all(b"talk").and_then(|()| stream.read_exact(&mut [0; 4]));
            if let Err(error) = talked {
                return error;
            }
            sleep(PAUSE);
        }
    })
}

fn kill(balancer: &Balancer, arguments: &[&str]) -> Kill {
    let output = balancer.done(&[&["conns", "--kill", "-o", "json"], arguments].concat());
    serde_json::from_str(&output).expect("the shape")
}

fn address(stream: &TcpStream) -> String {
    stream.local_addr().expect("bound").to_string()
}

#[test]
#[ignore = "needs root"]
fn idle_and_busy_connections_are_reset_at_both_ends_and_others_go_on() {
    let (balancer, testbed, accepted) = site();
    let other = &testbed.backends()[1];
    conversations::serve(other, PORT + 1);
    let second = SocketAddr::from((testbed.vip(), PORT + 1));
    let to_other = (other.address, PORT + 1);
    let (vip, backend) = (second.to_string(), SocketAddr::from(to_other).to_string());
    let add = ["service", "add", "other", "--vip", &vip, "--backend", &backend];
    balancer.done(&[&add[..], &["--health", "type=none"]].concat());
    let disturb = || {
        let (mut idle, mut idle_server) = connect(&testbed, &accepted);
        let (busy, busy_server) = connect(&testbed, &accepted);
        let (mut spared, mut spared_server) = connect(&testbed, &accepted);
        let clients = [&idle, &busy].map(address);
        let talks = [busy, busy_server].map(talk);
        for client in clients {
            let done = kill(&balancer, &["--client", &client]);
            assert_eq!(done, Kill { killed: 1, warnings: Vec::new() }, "{client}");
        }
        let reset = Err(ErrorKind::ConnectionReset);
        assert_eq!([end(&mut idle), end(&mut idle_server)], [reset; 2]);
        for talk in talks {
            let error = talk.join().expect("no panic");
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error}");
        }
        spared.write_all(b"c").and_then(|()| spared_server.read_exact(&mut [0])).expect("alive");
        let done = kill(&balancer, &["--service", "echo", "--state", "established"]);
        assert_eq!(done.killed, 1);
        assert_eq!([end(&mut spared), end(&mut spared_server)], [reset; 2]);
    };
    let ((), talks) = conversations::hold(&testbed.clients()[0], second, 5, disturb);
    for talk in talks {
        talk.expect("another service's connection goes on");
    }
}

#[test]
#[ignore = "needs root"]
fn ten_thousand_idle_connections_are_killed() {
    let many = 10_000.min(most_pairs());
    let (balancer, testbed, accepted) = site();
    let mut pairs: Vec<_> = (0..many).map(|_| connect(&testbed, &accepted)).collect();
    let refused = balancer.xdplb(&["conns", "--service", "echo", "--kill"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    let hint = format!("xdplb: {many} connections match: add --yes to kill all of them\n");
    assert_eq!((refused.status.code(), &*said), (Some(2), &*hint));
    let begun = Instant::now();
    let done = kill(&balancer, &["--service", "echo", "--yes"]);
    println!("killed in {:?}", begun.elapsed());
    assert_eq!(done, Kill { killed: many, warnings: Vec::new() });
    let mut ends = HashMap::new();
    for (client, server) in &mut pairs {
        *ends.entry([end(client), end(server)]).or_insert(0) += 1;
    }
    assert_eq!(ends, HashMap::from([([Err(ErrorKind::ConnectionReset); 2], many)]));
    let left = balancer.done(&["conns", "--service", "echo", "-o", "json"]);
    let left = left.lines().map(serde_json::from_str::<Connection>).count();
    assert_eq!(left, 0);
}

/// Returns the number of connections both ends of which this process may open.
fn most_pairs() -> u64 {
    const OTHERS: u64 = 200;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("within the limit");
    (most - OTHERS) / 2
}

#[test]
#[ignore = "needs root"]
fn all_are_killed_only_by_that_word() {
    let (balancer, testbed, accepted) = site();
    let (mut client, mut server) = connect(&testbed, &accepted);
    let refused = balancer.xdplb(&["conns", "--kill", "--yes"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("or --all"), "{refused:?}");
    assert_eq!(kill(&balancer, &["--all"]).killed, 1);
    let reset = Err(ErrorKind::ConnectionReset);
    assert_eq!([end(&mut client), end(&mut server)], [reset; 2]);
    assert_eq!(kill(&balancer, &["--all"]).killed, 0);
}

#[test]
#[ignore = "needs root"]
fn a_terminal_is_asked_before_more_than_one_is_killed() {
    let (balancer, testbed, accepted) = site();
    let mut pairs = [connect(&testbed, &accepted), connect(&testbed, &accepted)];
    let ask = |answer: &str| {
        let mut command = CommandBuilder::new(BINARY);
        command.arg("--socket");
        command.arg(balancer.socket());
        command.args(["conns", "--service", "echo", "--kill"]);
        let mut console = Console::run(command);
        console.wait_for_texts(&["Kill 2 connections? [y/N] "]);
        console.press(answer);
        console
    };
    let console = ask("\r");
    console.wait_for_texts(&["0 connections killed"]);
    assert_eq!(console.ended(), 0);
    let console = ask("y\r");
    console.wait_for_texts(&["2 connections killed"]);
    assert_eq!(console.ended(), 0);
    let reset = Err(ErrorKind::ConnectionReset);
    for (client, server) in &mut pairs {
        assert_eq!([end(client), end(server)], [reset; 2]);
    }
}

#[test]
#[ignore = "needs root"]
fn a_daemon_that_may_not_nudge_says_so() {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-net_raw", BINARY]);
    let (balancer, testbed, accepted) = site_by(command);
    let (mut client, _server) = connect(&testbed, &accepted);
    let done = kill(&balancer, &["--all"]);
    assert_eq!(done.killed, 1);
    let [warning] = &done.warnings[..] else { panic!("{done:?}") };
    assert!(warning.contains("learn of it when they send next"), "{warning}");
    client.write_all(b"c").expect("sent");
    assert_eq!(end(&mut client), Err(ErrorKind::ConnectionReset));
}

#[test]
#[ignore = "needs root"]
fn who_killed_how_many_is_in_the_log() {
    let (balancer, testbed, accepted) = site();
    let _pairs = [connect(&testbed, &accepted), connect(&testbed, &accepted)];
    kill(&balancer, &["--client", "203.0.113.0/24", "--yes"]);
    let log = fs::read_to_string(testbed.directory().join("log")).expect("a log");
    let killed: Vec<_> = log.lines().filter(|line| line.contains("killed")).collect();
    let [only] = killed[..] else { panic!("{log}") };
    assert!(only.contains("root (uid 0, pid "), "{only}");
    let what = "): 2 connections killed, of client 203.0.113.0/24, state half-open or refused";
    assert!(only.contains(what), "{only}");
}
