//! Who gets a new connection.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    backend::Backend,
    flow::FlowKey,
    limits,
    ring::{Ring, SLOTS, Slots},
    schedule::{Client, Scheduler},
    service::Service,
};

use crate::{
    load,
    raw::{random, ticket},
};

const RING_VALUES: usize = (limits::RING_SLOTS / SLOTS) as usize;

/// Backend ids; see [`lb_common::ring::Ring`].
#[btf_map]
static RINGS: Array<Slots, RING_VALUES, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Connections that each service has had in turn, by service id.
#[btf_map]
static RING_TURNS: Array<u64, { limits::SERVICES as usize }> = Array::new();

#[btf_map]
static BACKENDS: Array<Backend, { limits::BACKENDS as usize }> = Array::new();

/// The id of the backend that takes the service's next connection, which is this client's.
#[inline(always)]
pub(crate) fn next(service: &Service, key: &FlowKey) -> Option<u32> {
    let Service { ring: Ring { offset, length }, id, scheduler } = *service;
    let client = Client::new(key.src(), key.src_port());
    Some(select_next(id, scheduler, offset, length, client.word())).filter(|id| *id != NOBODY)
}

/// What a slot holds that is nobody's.
const NOBODY: u32 = 0;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn select_next(id: u32, scheduler: u32, offset: u32, length: u32, client: u64) -> u32 {
    let ring = Ring { offset, length };
    let client = Client::of_word(client);
    let slot = match Scheduler::from_number(scheduler) {
        Scheduler::RoundRobin => turn(id).and_then(|turn| ring.slot(turn)),
        Scheduler::LeastConnections => less_busy(ring),
        Scheduler::Maglev => ring.slot_at(client.hash()),
        Scheduler::SourceHash => ring.slot_at(client.without_port().hash()),
        Scheduler::Random => ring.slot_at(random()),
    };
    slot.map_or(NOBODY, holder)
}

/// The number of the service's connection.
#[inline(always)]
fn turn(service: u32) -> Option<u64> {
    RING_TURNS.get_ptr_mut(service).map(ticket)
}

/// Of two slots drawn by lot the one whose backend has less to do.
#[inline(always)]
fn less_busy(ring: Ring) -> Option<u32> {
    let first = ring.slot_at(random())?;
    let Some(second) = ring.slot_beside(first, random()) else { return Some(first) };
    let [one, other] = [first, second].map(holder);
    let is_busier = load::is_more((one, backend(one)?), (other, backend(other)?));
    Some(if is_busier { second } else { first })
}

/// The id in a slot.
#[inline(always)]
fn holder(slot: u32) -> u32 {
    RINGS.get(slot / SLOTS).map_or(NOBODY, |slots| slots[(slot % SLOTS) as usize])
}

#[inline(always)]
pub(crate) fn backend(id: u32) -> Option<&'static Backend> {
    BACKENDS.get(id)
}
