//! As many connections as a large site has, which come and go on all CPUs at random, some of them evicted, in
//! a table that is nearly full and is swept all the time: every packet gets its own connection's rewrite.

use std::{
    env,
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use lb_tests::{
    LONG,
    conversations::End,
    frame::{Flags, Segment},
    object::{INGRESS, Object},
};

use crate::{
    hammer::{assert_no_half_pairs, sent, sweep},
    testbed::{FIRST_PORT, VIP, backend, cpus, key_from, stay_on},
};

/// Idle time from which on an established connection may be evicted, with room for a test that is held up.
const SILENT: Duration = Duration::from_secs(50);

const SOURCES: u32 = 8;
const PORTS: u16 = 60_000;

/// Extent of a run.
struct Extent {
    /// Clients that have a connection most of the time.
    clients: u32,
    duration: Duration,
}

impl Extent {
    fn of_this_run() -> Self {
        if env::var_os(LONG).is_some() {
            Self { clients: 1_000_000, duration: Duration::from_mins(10) }
        } else {
            Self { clients: 20_000, duration: Duration::from_secs(10) }
        }
    }

    /// Connections that the table is made for: so few that about 95 % of its entries are in use.
    fn room(&self) -> u32 {
        self.clients / 25 * 16
    }
}

/// An established connection.
struct Open {
    /// A segment of the client, as its backend got it.
    outside: Segment,
    since: Instant,
}

/// The clients of one CPU.
struct Clients<'a> {
    object: &'a Object,
    first: u32,
    open: Vec<Option<Open>>,
    chance: Rng,
    packets: u64,
}

#[test]
#[ignore = "needs root"]
fn no_packet_of_many_connections_gets_anothers_rewrite() {
    let extent = Extent::of_this_run();
    let object = balancer(extent.room());
    let goes_on = AtomicBool::new(true);
    let each = extent.clients / u32::try_from(cpus()).expect("few");
    let packets: u64 = thread::scope(|scope| {
        let sweeper = scope.spawn(|| sweep(&object, &goes_on));
        let end = End(&goes_on);
        let churn = |cpu: usize| {
            stay_on(cpu);
            let first = u32::try_from(cpu).expect("few") * each;
            let open = (0..each).map(|_| None).collect();
            let chance = Rng::with_seed(first.into());
            let mut clients = Clients { object: &object, first, open, chance, packets: 0 };
            let ends = Instant::now() + extent.duration;
            while Instant::now() < ends {
                clients.step();
            }
            clients.packets
        };
        let churns: Vec<_> = (0..cpus()).map(|cpu| scope.spawn(move || churn(cpu))).collect();
        let packets = churns.into_iter().map(|one| one.join().expect("no panic")).sum();
        drop(end);
        assert!(sweeper.join().expect("no panic") > 0, "nothing has timed out");
        packets
    });
    let left = object.flow_count();
    eprintln!("{packets} packets of {} clients; {left} entries at the end", extent.clients);
    assert!(packets > u64::from(extent.clients), "hardly anything was forwarded");
    assert_no_half_pairs(&object);
}

/// Makes three backends with ports for all connections.
fn balancer(connections: u32) -> Object {
    let mut object = Object::load(connections);
    for index in 0..SOURCES {
        let last = u8::try_from(index).expect("few") + 1;
        object.source(index, Ipv4Addr::new(10, 0, 0, last), FIRST_PORT, PORTS);
    }
    for id in 1..=3 {
        object.backend(id.into(), backend(id), INGRESS, (0, SOURCES));
    }
    object.serve(VIP, &[1, 2, 3]);
    object
}

impl Clients<'_> {
    /// Carries out an operation of a client.
    fn step(&mut self) {
        let nth = self.chance.usize(..self.open.len());
        let client = self.client(nth);
        let Some(open) = self.open[nth].take() else {
            if self.chance.u8(..4) == 0 {
                // Nobody answers it.
                let _ = self.send(&Segment::new(client, VIP, Flags::SYN));
            } else {
                self.open[nth] = self.connect(client);
            }
            return;
        };
        if !self.exchange(client, &open) {
            assert!(open.since.elapsed() > SILENT, "{client} has lost its connection");
            return;
        }
        match self.chance.u8(..16) {
            0 => self.close(client, &open),
            1 => self.object.evict(&key_from(client)),
            _ => self.open[nth] = Some(Open { since: Instant::now(), ..open }),
        }
    }

    fn client(&self, nth: usize) -> SocketAddrV4 {
        let nth = self.first + u32::try_from(nth).expect("few");
        SocketAddrV4::new(Ipv4Addr::from(u32::from(Ipv4Addr::new(11, 0, 0, 0)) + nth), 40_000)
    }

    fn send(&mut self, segment: &Segment) -> Option<Segment> {
        self.packets += 1;
        sent(self.object, segment)
    }

    /// Returns `None` if there is no room, or another connection interfered; a client would try again.
    fn connect(&mut self, client: SocketAddrV4) -> Option<Open> {
        let outside = self.send(&Segment::new(client, VIP, Flags::SYN))?;
        self.send(&outside.answer(Flags::SYN_ACK))?;
        let established = self.send(&Segment::new(client, VIP, Flags::ACK))?;
        if established.flags.rst || ends(&established) != ends(&outside) {
            return None;
        }
        let welcome = self.send(&outside.answer(Flags::ACK).with_payload(b"welcome"))?;
        assert_eq!(ends(&welcome), (VIP, client));
        Some(Open { outside, since: Instant::now() })
    }

    /// Sends a segment in each direction. Returns false if the connection is gone.
    fn exchange(&mut self, client: SocketAddrV4, open: &Open) -> bool {
        let Some(there) = self.send(&Segment::new(client, VIP, Flags::ACK)) else { return false };
        if there.flags.rst {
            return false;
        }
        assert_eq!(ends(&there), ends(&open.outside), "a packet of {client}");
        let back = self.send(&open.outside.answer(Flags::ACK)).expect("known");
        assert_eq!(ends(&back), (VIP, client));
        true
    }

    fn close(&mut self, client: SocketAddrV4, open: &Open) {
        if self.chance.bool() {
            self.send(&Segment::new(client, VIP, Flags::RST)).expect("known");
            return;
        }
        self.send(&Segment::new(client, VIP, Flags::FIN)).expect("known");
        self.send(&open.outside.answer(Flags::FIN)).expect("known");
    }
}

fn ends(segment: &Segment) -> (SocketAddrV4, SocketAddrV4) {
    (segment.src, segment.dst)
}
