//! The shipped program with its services, and its known connections.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, ensure};
use lb_common::{
    flow::FlowKey,
    reason::Reason,
    ring::Ring,
    schedule::Scheduler,
    template::{Field, Spread, Template, byte},
    wire::Headers,
};
use lb_tests::object::{INGRESS, Object};
use lb_userspace::ring::LONGEST;

use super::{
    frames::{self, BACKEND, EMPTY, SOURCE, UNREACHABLE, VIP},
    harness::Harness,
};

/// Numbers of each, as powers of two.
#[derive(Clone, Copy)]
pub(super) struct Topology {
    pub(super) services: u32,
    pub(super) backends: u32,
    /// Open connections.
    pub(super) flows: u32,
}

/// Number of source addresses, as a power of two.
const SOURCES: u32 = 8;
/// Number of ports of each source address. No port is drawn twice.
const PORTS: u16 = 1 << 15;

/// Minimum capacity of a table, so that a few half-open connections have room.
const LEAST_ROOM: u32 = 4_096;

/// Schedulers other than the first service's.
const OTHERS: [Scheduler; 4] =
    [Scheduler::LeastConnections, Scheduler::Maglev, Scheduler::SourceHash, Scheduler::Random];

/// Offsets of rings after the first service's.
const WITHOUT_NEXT_HOP: u32 = 1 << 16;
const LONG: u32 = 1 << 17;

/// One of this many openings may find no room: half-open connections have little of it.
const ROOMLESS: u64 = 256;

pub(super) struct Balancer {
    object: Object,
    topology: Topology,
    harness: Harness,
}

impl Balancer {
    /// Makes a balancer with all connections open.
    pub(super) fn new(topology: Topology) -> Result<Self> {
        let mut object = Object::load(topology.room());
        topology.configure(&mut object);
        let harness = Harness::of(object.program())?;
        let mut balancer = Self { object, topology, harness };
        balancer.open_connections()?;
        Ok(balancer)
    }

    /// Opens them by handshakes. A few at a time, as half-open connections displace each other.
    fn open_connections(&mut self) -> Result<()> {
        let Topology { flows, .. } = self.topology;
        let group = self.topology.room() / 256;
        let replies = self.topology.replies();
        for first in (0..1 << flows).step_by(group as usize) {
            let some = group.min((1 << flows) - first);
            for (frame, reason) in frames::HANDSHAKE {
                let template = if reason == Reason::Replied {
                    Template::new(frame(), replies, flows, first.into()).in_order()
                } else {
                    Template::new(frame(), Spread::CLIENTS, flows, first.into())
                };
                self.send(&template, some, reason)?;
            }
        }
        // Fails if one has displaced another.
        let all = Template::new(frames::known(), Spread::CLIENTS, flows, 0);
        self.send(&all, 1 << flows, Reason::Forwarded).map(drop)
    }

    /// Sends frames, each of which must end for this reason, except for openings that find no room;
    /// returns the cost of one.
    pub(super) fn send(&mut self, template: &Template, frames: u32, reason: Reason) -> Result<f64> {
        let before = self.object.reasons();
        let cost = self.harness.run(template, frames)?;
        let mut counts = self.object.reasons();
        for (name, count) in &mut counts {
            *count -= before[name];
        }
        counts.retain(|_, count| *count > 0);
        let refused = counts.get(Reason::TableFull.as_str()).copied().unwrap_or(0);
        let met = counts.get(reason.as_str()).copied().unwrap_or(0);
        ensure!(
            met + refused == u64::from(frames) && refused * ROOMLESS <= u64::from(frames),
            "{frames} packets should be {}, and are {counts:?}",
            reason.as_str()
        );
        Ok(cost)
    }

    /// Removes the connections that these frames have opened.
    pub(super) fn forget(&mut self, mut template: Template, frames: u32) {
        for _ in 0..frames {
            let frame = template.next_frame();
            let headers: &Headers = bytemuck::from_bytes(&frame[..size_of::<Headers>()]);
            let key = FlowKey::of(headers);
            // In a small table, one may have displaced another.
            if self.object.flow(&key).is_some() {
                self.object.remove_connection(&key);
            }
        }
    }
}

impl Topology {
    /// Returns the capacity of the flow table: a quarter more than the open connections, as it
    /// refuses one in a million when it is completely full.
    pub(super) fn room(self) -> u32 {
        LEAST_ROOM.max((1 << self.flows) / 4 * 5)
    }

    /// Returns the positions in replies of the connections' numbers, in the order of opening: each
    /// comes from the next backend, to the next source address of that, to the next port.
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

    fn configure(self, object: &mut Object) {
        for place in 0..1 << SOURCES {
            let [first, _, third, fourth] = SOURCE.ip().octets();
            #[expect(clippy::cast_possible_truncation, reason = "there are 256")]
            let address = Ipv4Addr::new(first, place as u8, third, fourth);
            object.source(place, address, SOURCE.port(), PORTS);
        }
        let backends = 1 << self.backends;
        for number in 0..backends {
            object.backend(number + 1, numbered(BACKEND, number), INGRESS, (0, 1 << SOURCES));
        }
        object.serve(VIP, &(1..=backends).collect::<Vec<_>>());
        for number in 1..1 << self.services {
            let ring = Ring { offset: 0, length: backends };
            object.service(number, numbered(VIP, number), ring);
        }
        object.service(0, EMPTY, Ring::default());
        let no_next_hop = object.lay(WITHOUT_NEXT_HOP, &[backends + 1]);
        object.hand_out(UNREACHABLE, Scheduler::RoundRobin, no_next_hop);
        // As long as those of schedulers that hash, whatever their order.
        let all: Vec<_> = (1..=backends).cycle().take(LONGEST as usize).collect();
        let long = object.lay(LONG, &all);
        for scheduler in OTHERS {
            object.hand_out(frames::scheduled(scheduler), scheduler, long);
        }
    }
}

/// Returns the address whose lower half has this number, as [`Field`]s count.
fn numbered(first: SocketAddrV4, number: u32) -> SocketAddrV4 {
    let [a, b, ..] = first.ip().octets();
    let [low, high, ..] = number.to_le_bytes();
    SocketAddrV4::new(Ipv4Addr::new(a, b, low, high), first.port())
}
