//! Numbers of services, backends and connections, and the maps filled with them.

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::{
    ring::Ring,
    schedule::Scheduler,
    template::{Field, Spread, byte},
};
use lb_dataplane::ring::LONGEST;
use lb_tests::object::{INGRESS, Object};

use super::frames::{self, BACKEND, EMPTY, SOURCE, UNREACHABLE, VIP};

/// Numbers of objects, as powers of two.
#[derive(Clone, Copy)]
pub(super) struct Topology {
    pub(super) services: u32,
    pub(super) backends: u32,
    /// Open connections.
    pub(super) flows: u32,
}

/// Number of source addresses, as a power of two.
const SOURCES: u32 = 8;
/// Ports per source address. No port is drawn twice.
const PORTS: u16 = 1 << 15;

/// Minimum number of connections of a table, so that a few half-open ones have room.
const LEAST_ROOM: u32 = 4_096;

/// Schedulers of the other services.
const OTHERS: [Scheduler; 5] = [
    Scheduler::LeastConnections,
    Scheduler::Maglev,
    Scheduler::SourceHash,
    Scheduler::Random,
    Scheduler::RoundRobinPerCpu,
];

/// Maximum number of backends of each of them.
const EACH: u32 = 4;

/// Offsets of the rings after the first service's.
const WITHOUT_NEXT_HOP: u32 = 1 << 16;
const LONG: u32 = 1 << 17;

impl Topology {
    /// Returns the number of connections that the flow table is sized for: a quarter more than are
    /// open, as a table filled to its nominal size refuses one in a million.
    pub(super) fn room(self) -> u32 {
        LEAST_ROOM.max((1 << self.flows) / 4 * 5)
    }

    /// Returns the location of connection numbers in replies, in the order of opening: each comes
    /// from the next backend, to its next source address, to the next port.
    pub(super) fn replies(self) -> Spread {
        let (sources, ports) = (self.backends, self.backends + SOURCES);
        Spread::new(
            [
                Field::new(0, self.backends, byte::SOURCE + 2),
                Field::new(sources, SOURCES, byte::DESTINATION + 1),
            ],
            [
                Field::new(ports, 8, byte::DESTINATION_PORT + 1),
                Field::new(ports + 8, PORTS.ilog2() - 8, byte::DESTINATION_PORT),
            ],
        )
    }

    /// Puts all backends behind this interface.
    pub(super) fn place_backends(self, object: &mut Object, ifindex: u32) {
        for number in 0..1 << self.backends {
            object.backend(number + 1, numbered(BACKEND, number), ifindex, (0, 1 << SOURCES));
        }
    }

    pub(super) fn configure(self, object: &mut Object) {
        for place in 0..1 << SOURCES {
            let [first, _, third, fourth] = SOURCE.ip().octets();
            #[expect(clippy::cast_possible_truncation, reason = "there are 256")]
            let address = Ipv4Addr::new(first, place as u8, third, fourth);
            object.source(place, address, SOURCE.port(), PORTS);
        }
        let backends = 1 << self.backends;
        self.place_backends(object, INGRESS);
        for number in 1..1 << self.services {
            // Its packets open no connection.
            let ring = Ring { offset: 0, length: backends };
            object.service(number, numbered(VIP, number), ring);
        }
        object.serve(VIP, &(1..=backends).collect::<Vec<_>>());
        object.service(0, EMPTY, Ring::default());
        let no_next_hop = object.lay(WITHOUT_NEXT_HOP, &[backends + 1]);
        object.hand_out(UNREACHABLE, Scheduler::RoundRobin, no_next_hop);
        for (nth, scheduler) in (0..).zip(OTHERS) {
            let first = backends + 2 + nth * EACH;
            self.hand_out(object, nth, first, scheduler);
        }
    }

    /// Adds a service with another scheduler, and backends of its own from this id on.
    fn hand_out(self, object: &mut Object, nth: u32, first: u32, scheduler: Scheduler) {
        let port = SocketAddrV4::port(&BACKEND) + 1 + u16::try_from(nth).expect("few");
        let ids = first..first + EACH.min(1 << self.backends);
        for (number, id) in (0..).zip(ids.clone()) {
            let address = SocketAddrV4::new(*numbered(BACKEND, number).ip(), port);
            object.backend(id, address, INGRESS, (0, 1 << SOURCES));
        }
        // As long as the rings of hashing schedulers, in any order.
        let all: Vec<_> = ids.cycle().take(LONGEST as usize).collect();
        let long = object.lay(LONG + nth * LONGEST.next_multiple_of(2), &all);
        object.hand_out(frames::scheduled(scheduler), scheduler, long);
    }
}

/// Returns the address whose lower half is this number, in the byte order of [`Field`]s.
fn numbered(first: SocketAddrV4, number: u32) -> SocketAddrV4 {
    let [a, b, ..] = first.ip().octets();
    let [low, high, ..] = number.to_le_bytes();
    SocketAddrV4::new(Ipv4Addr::new(a, b, low, high), first.port())
}
