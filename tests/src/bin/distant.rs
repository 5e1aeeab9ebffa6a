//! Handshakes of a client far away during a SYN flood. Prints what became of each, as JSON.
//!
//! It needs netem, which only some kernels have: the tests run it in guests.

use std::{
    io::{self, Read as _, Write as _},
    iter,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    ops::Range,
    os::fd::AsRawFd as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{scope, sleep, spawn},
    time::{Duration, Instant},
};

use lb_testbed::{Host, Namespace, Testbed};
use lb_tests::{
    balancer::{Balancer, configuration},
    frame::{Flags, Segment},
    servers::attempt,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use serde_json::{Value, json};

/// A service, whose backends are ports of one server. Each has all source ports to itself.
struct Service {
    port: u16,
    backends: Range<u16>,
}

impl Service {
    fn backends(&self) -> Range<u16> {
        self.backends.clone()
    }
}

/// One has more source ports, of all its backends, than SYNs come in a round trip; the other, far fewer.
const SERVICES: [Service; 2] =
    [Service { port: 80, backends: 8_000..8_009 }, Service { port: 81, backends: 9_000..9_001 }];

const SOURCE_PORTS: Range<u16> = 2_000..2_030;

/// SYNs a second, few enough for emulated CPUs: 150 come in a round trip.
const RATE: u128 = 500;

/// Sources of the flood, of one /16.
const SPOOFED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// More than there are source ports: none comes again while its connection is half-open.
const SOURCES: u16 = 4_096;
/// The most that is sent at once.
const SALVO: u128 = 16;
/// How often the flood sends what is due.
const PERIOD: Duration = Duration::from_millis(2);
const ETHERNET_HEADER: usize = 14;

/// The client's round trip, all of it on the path to the client.
const DELAY: &str = "300ms";
const HANDSHAKES: u32 = 30;
/// Whether a kernel answers SYNs by cookies: 2 is always.
const SYN_COOKIES: &str = "net.ipv4.tcp_syncookies";
/// Maximum number of a kernel's connections in TIME-WAIT.
const TIME_WAITS: &str = "net.ipv4.tcp_max_tw_buckets";
const SPACING: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(3);

fn main() {
    let mut testbed = Testbed::two_arm("distant", 1).expect("a testbed; are you root?");
    let attacker = testbed.add_client().expect("an attacker").address;
    testbed.balancer().add_route(SPOOFED, 16, attacker).expect("a route");
    let server = &testbed.backends()[0];
    // Its kernel remembers nothing of the flood: a SYN that met another half-open connection of its port
    // there would be answered only at a second try, a round trip later.
    server.namespace.set_sysctl(SYN_COOKIES, "2").expect("root");
    // A SYN that meets one is answered without a cookie: the answer would be retransmitted, a second later, to
    // whoever has the port by then.
    server.namespace.set_sysctl(TIME_WAITS, "0").expect("root");
    SERVICES.iter().flat_map(Service::backends).for_each(|port| serve(server, port));
    let balancer = Balancer::start(&testbed, &text(&testbed));
    let backends = SERVICES.iter().map(|service| service.backends().count()).sum();
    balancer.wait_for_ring_of(backends);
    let vip = |service: &Service| SocketAddrV4::new(testbed.vip(), service.port);
    // Neighbours are known from here on.
    connect(&testbed.clients()[0], vip(&SERVICES[0])).expect("an answer without a flood");
    delay(testbed.switch(), "client1");
    for service in &SERVICES {
        let ports = SOURCE_PORTS.len() * service.backends().len();
        let handshakes = handshakes(&testbed, vip(service), ports);
        println!("{}", json!({ "ports": ports, "handshakes": handshakes }));
    }
}

/// The client's, during a flood of the same service.
fn handshakes(testbed: &Testbed, vip: SocketAddrV4, ports: usize) -> Vec<Value> {
    let [client, attacker] = testbed.clients() else { panic!("two clients") };
    let (sent, is_over) = (&AtomicU64::new(0), &AtomicBool::new(false));
    scope(|scope| {
        let flood = move || flood(vip, sent, is_over);
        let flood = scope.spawn(move || attacker.namespace.run(flood).expect("entered"));
        // Until every port is taken.
        while sent.load(Ordering::Relaxed) < 2 * ports as u64 && !flood.is_finished() {
            sleep(PERIOD);
        }
        let start = |nth| {
            scope.spawn(move || {
                sleep(SPACING * nth);
                handshake(client, vip, sent)
            })
        };
        let started: Vec<_> = (0..HANDSHAKES).map(start).collect();
        let ended = started.into_iter().map(|one| one.join().expect("no panic")).collect();
        is_over.store(true, Ordering::Relaxed);
        flood.join().expect("no panic");
        ended
    })
}

fn text(testbed: &Testbed) -> String {
    let (first, last) = (SOURCE_PORTS.start, SOURCE_PORTS.end - 1);
    let head = configuration(testbed, &format!("snat_ports = \"{first}-{last}\""));
    let server = testbed.backends()[0].address;
    let services = SERVICES.iter().map(|service| {
        let (port, vip) = (service.port, testbed.vip());
        let head = format!(
            "[[service]]\nname = \"s{port}\"\nvip = \"{vip}:{port}\"\nhealth.type = \"none\"\n"
        );
        let backends = service
            .backends()
            .map(|port| format!("[[service.backend]]\naddress = \"{server}:{port}\"\n"));
        iter::once(head).chain(backends).collect::<String>()
    });
    iter::once(head).chain(services).collect()
}

/// Answers each connection's request.
fn serve(host: &Host, port: u16) {
    let listen = || TcpListener::bind((host.address, port)).expect("a free port");
    let listener = host.namespace.run(listen).expect("entered");
    spawn(move || {
        for mut stream in listener.incoming().flatten() {
            spawn(move || stream.read(&mut [0; 16]).and_then(|_| stream.write_all(b"answer")));
        }
    });
}

fn delay(switch: &Namespace, port: &str) {
    let netem = ["qdisc", "add", "dev", port, "root", "netem", "delay", DELAY];
    let output = attempt(switch, "tc", &netem);
    assert!(output.status.success(), "{output:?}");
}

/// Sends SYNs from sources that are not its own.
fn flood(to: SocketAddrV4, sent: &AtomicU64, is_over: &AtomicBool) {
    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw);
    let (socket, target) = (socket.expect("root"), SockaddrIn::from(to));
    let frames = (0..SOURCES).map(|nth| Segment::new(spoofed(nth), to, Flags::SYN).frame());
    let frames: Vec<_> = frames.collect();
    let mut frames = frames.iter().cycle();
    let begin = Instant::now();
    let mut due_before = 0;
    while !is_over.load(Ordering::Relaxed) {
        sleep(PERIOD);
        let due = begin.elapsed().as_micros() * RATE / 1_000_000;
        // What a stall has kept back is not made up for in one go.
        for _ in 0..(due - due_before).min(SALVO) {
            let packet = &frames.next().expect("a cycle")[ETHERNET_HEADER..];
            sendto(socket.as_raw_fd(), packet, &target, MsgFlags::empty()).expect("sent");
            sent.fetch_add(1, Ordering::Relaxed);
        }
        due_before = due;
    }
}

fn spoofed(nth: u16) -> SocketAddrV4 {
    let [low, high] = nth.to_le_bytes();
    let [a, b, ..] = SPOOFED.octets();
    SocketAddrV4::new(Ipv4Addr::new(a, b, high, low), 1_024)
}

/// What became of a handshake, and how many SYNs of the flood were sent during it.
fn handshake(client: &Host, to: SocketAddrV4, sent: &AtomicU64) -> Value {
    let mut syns = 0;
    let mut elapsed = Duration::ZERO;
    let exchange = || {
        let (before, begin) = (sent.load(Ordering::Relaxed), Instant::now());
        let stream = TcpStream::connect_timeout(&SocketAddr::V4(to), PATIENCE)?;
        syns = sent.load(Ordering::Relaxed) - before;
        elapsed = begin.elapsed();
        ask(stream)
    };
    let answer: io::Result<()> = client.namespace.run(exchange).expect("entered");
    let error = answer.err().map(|error| error.to_string());
    json!({ "syns": syns, "ms": u64::try_from(elapsed.as_millis()).ok(), "error": error })
}

fn connect(client: &Host, to: SocketAddrV4) -> io::Result<()> {
    client.namespace.run(|| TcpStream::connect(to).and_then(ask)).expect("entered")
}

fn ask(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer == "answer" { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
