//! The shipped program with one service, and the frames that come to it.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use lb_common::{
    flow::FlowKey,
    reason::Reason,
    template::{FRAME_LENGTH, Template},
    wire::Headers,
};
use lb_tests::{
    frame::{Flags, Segment},
    object::{INGRESS, Object},
};

use super::harness::Harness;

const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 80);
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 99), 80);
/// The first of those whose connections stay.
const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 0), 0);
/// The first of those who come and go.
const GUEST: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 19, 0, 0), 0);

/// Connections that are half-open at a time.
const HALF_OPEN: u32 = 1_024;

const BACKENDS: u8 = 3;
/// So many that no source port is drawn twice.
const SOURCES: u8 = 100;
const FIRST_PORT: u16 = 1_024;
const PORTS: u16 = 60_000;

pub(super) struct Balancer {
    object: Object,
    pub(super) harness: Harness,
}

impl Balancer {
    /// With room for so many connections that stay, and so many that come and go.
    pub(super) fn new(staying: u32, passing: u32) -> Result<Self> {
        let mut object = Object::load(staying + passing);
        for place in 0..SOURCES {
            let address = Ipv4Addr::new(10, 0, 0, 100 + place);
            object.source(place.into(), address, FIRST_PORT, PORTS);
        }
        let ids: Vec<u32> = (1..=BACKENDS).map(u32::from).collect();
        for id in 1..=BACKENDS {
            let address = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, id), 8080);
            object.backend(id.into(), address, INGRESS, (0, SOURCES.into()));
        }
        object.serve(VIP, &ids);
        let harness = Harness::of(object.program())?;
        Ok(Self { object, harness })
    }

    /// Opens the connections of 2^`doublings` clients, and sends a packet of each.
    pub(super) fn open_connections(&mut self, doublings: u32) -> Result<()> {
        let before = self.counted(Reason::Forwarded);
        let clients = 1 << doublings;
        let mut opened = 0;
        while opened < clients {
            // Few at once, as half-open connections displace each other.
            let some = HALF_OPEN.min(clients - opened);
            let opening = Template::new(frame(CLIENT, VIP, Flags::SYN), doublings, opened.into());
            self.harness.run(&opening, some)?;
            self.object.establish_all();
            opened += some;
        }
        self.harness.run(&Template::new(known(), doublings, 0), clients)?;
        let forwarded = self.counted(Reason::Forwarded) - before;
        ensure!(
            forwarded == 2 * u64::from(clients),
            "the flow table has not taken {clients} connections"
        );
        Ok(())
    }

    /// The frame that answers the first client.
    pub(super) fn reply(&self) -> Result<[u8; FRAME_LENGTH]> {
        let key = key(CLIENT, VIP);
        let flow = self.object.flow(&key).context("the first client is gone")?;
        let reply = flow.partner();
        let end =
            |address: [u8; 4], port| SocketAddrV4::new(address.into(), u16::from_be_bytes(port));
        let (src, dst) = (end(reply.src(), reply.src_port()), end(reply.dst(), reply.dst_port()));
        Ok(frame(src, dst, Flags::ACK))
    }

    /// Removes the connections that these frames have opened.
    pub(super) fn forget(&mut self, mut template: Template, frames: u32) {
        for _ in 0..frames {
            let frame = template.next_frame();
            let headers: &Headers = bytemuck::from_bytes(&frame[..size_of::<Headers>()]);
            self.object.remove_connection(&FlowKey::of(headers));
        }
    }

    /// How many packets were said to be this.
    pub(super) fn counted(&self, reason: Reason) -> u64 {
        self.object.reasons()[reason.as_str()]
    }
}

/// A packet of a connection that is known.
pub(super) fn known() -> [u8; FRAME_LENGTH] {
    frame(CLIENT, VIP, Flags::ACK)
}

/// A packet that opens a connection.
pub(super) fn new() -> [u8; FRAME_LENGTH] {
    frame(GUEST, VIP, Flags::SYN)
}

/// A packet to no service.
pub(super) fn not_ours() -> [u8; FRAME_LENGTH] {
    frame(CLIENT, ELSEWHERE, Flags::ACK)
}

fn frame(src: SocketAddrV4, dst: SocketAddrV4, flags: Flags) -> [u8; FRAME_LENGTH] {
    const PAYLOAD: [u8; FRAME_LENGTH - size_of::<Headers>()] = [7; _];
    let segment = Segment::new(src, dst, flags).with_payload(&PAYLOAD);
    segment.frame().try_into().expect("headers and payload are as long as the frame")
}

fn key(src: SocketAddrV4, dst: SocketAddrV4) -> FlowKey {
    FlowKey::tcp(
        src.ip().octets(),
        src.port().to_be_bytes(),
        dst.ip().octets(),
        dst.port().to_be_bytes(),
    )
}
