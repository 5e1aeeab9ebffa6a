//! The trail of the packet that this CPU handles: see [`lb_common::trail`]. Only in the variants that tell
//! about packets.

#[cfg(any(feature = "explain", feature = "trace"))]
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use lb_common::{
    capture::Record,
    flow::{Direction, Ends as _, FlowKey},
    halves::low,
    mapped,
    ring::Ring,
    trail::{Met, Trail},
    wire::Headers,
};

#[cfg(any(feature = "explain", feature = "trace"))]
use crate::raw::of_this_cpu;
use crate::{flow::Known, outcome::Outcome, raw::Packet};

/// True in the variants that tell about packets.
const IS_TOLD: bool = cfg!(any(feature = "explain", feature = "trace"));

#[cfg(any(feature = "explain", feature = "trace"))]
#[btf_map]
static TRAIL: PerCpuArray<Record, 1> = PerCpuArray::new();

/// Begins the trail of a frame.
#[inline(always)]
pub(crate) fn begin(packet: &Packet) {
    note(|trail| {
        let length = [low(packet.whole_length()), 0];
        *trail = Trail { ingress: packet.ingress(), length, ..Trail::default() };
    });
}

/// Notes a packet's addresses, before anything is known of it: its sender counts as a client.
#[inline(always)]
pub(crate) fn packet(headers: &Headers) {
    if IS_TOLD {
        ends(&FlowKey::of(headers));
    }
}

/// Notes the tuple of a client's packets.
#[inline(always)]
fn ends(key: &FlowKey) {
    note(|trail| {
        trail.client = mapped(key.src());
        trail.client_port = key.src_port();
        trail.vip = mapped(key.dst());
        trail.vip_port = key.dst_port();
    });
}

/// Notes what the flow table knew of the packet.
#[inline(always)]
pub(crate) fn met(met: Met) {
    note(|trail| trail.met = met as u32);
}

/// Notes the packet's connection.
#[inline(always)]
pub(crate) fn known(known: &Known) {
    let tag = known.hit.tag;
    note(|trail| {
        trail.met = Met::Known as u32;
        trail.seen = tag.flags_seen().into();
        trail.backend = known.pair.backend();
    });
    if matches!(tag.direction(), Direction::ToClient) {
        ends(&known.pair.inside(tag.protocol(), &known.backend.endpoints()));
    }
}

/// Notes the slot that a scheduler chose of a ring.
#[inline(always)]
pub(crate) fn slot(ring: Ring, slot: u32) {
    note(|trail| {
        trail.slot = slot - ring.offset + 1;
        trail.slots = ring.length;
    });
}

/// Notes the service, and the backend of a new connection.
#[inline(always)]
pub(crate) fn selected(service: u32, backend: u32) {
    note(|trail| {
        trail.service = service + 1;
        trail.backend = backend;
    });
}

/// Returns true if the packet replaces the connection of packets with this tuple.
#[inline(always)]
pub(crate) fn replaces(key: &FlowKey) -> bool {
    record().is_some_and(|Record { trail, .. }| {
        trail.met == Met::Replaced as u32
            && (trail.client, trail.client_port) == (mapped(key.src()), key.src_port())
            && (trail.vip, trail.vip_port) == (mapped(key.dst()), key.dst_port())
    })
}

/// Notes how the packet's path ended.
#[inline(always)]
pub(crate) fn ended(packet: &Packet, outcome: Outcome) {
    note(|trail| {
        trail.reason = outcome.reason() as u32 + 1;
        trail.length[1] = low(packet.whole_length());
        if let Outcome::Tx(egress, _) = outcome {
            trail.egress = egress.index(packet.ingress());
        }
    });
}

#[inline(always)]
fn note(change: impl FnOnce(&mut Trail)) {
    if let Some(record) = record() {
        change(&mut record.trail);
    }
}

/// Returns the record of the present packet: none in the program for the interfaces.
#[inline(always)]
pub(crate) fn record() -> Option<&'static mut Record> {
    #[cfg(any(feature = "explain", feature = "trace"))]
    let record = TRAIL.get_ptr_mut(0).map(of_this_cpu);
    #[cfg(not(any(feature = "explain", feature = "trace")))]
    let record = None;
    record
}
