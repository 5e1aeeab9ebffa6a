//! Selection of a new connection's backend.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};
use lb_common::{
    flow::FlowKey,
    halves::low,
    limits,
    ring::{Ring, SLOTS, Slots},
    schedule::{Client, Scheduler},
    service::Service,
};

use crate::{
    backends::{self, NOBODY},
    global::global,
    group,
    history::History,
    load, passive,
    raw::{self, cpu, random, ticket},
    service, trail,
};

const RING_VALUES: usize = (limits::RING_SLOTS / SLOTS) as usize;

/// Backend ids; see [`lb_common::ring::Ring`].
#[btf_map]
static RINGS: Array<Slots, RING_VALUES, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Number of connections that took turns, by service id.
#[btf_map]
static RING_TURNS: Array<u64, { limits::SERVICES as usize }> = Array::new();

/// Those that took turns of this CPU's own, by service id.
#[btf_map]
static RING_TURNS_EACH: PerCpuArray<u64, { limits::SERVICES as usize }> = PerCpuArray::new();

/// Returns the id of the backend for a client's new connection, or `None` if the packet is to no
/// service, or to one that this node is standby for. Avoids backends that have refused it, if there is another one. [`NOBODY`] if the packet
/// may not open a connection.
#[inline(always)]
pub(crate) fn of_service(key: &FlowKey, may_open: bool, history: History) -> Option<u32> {
    let (addresses, ports) = key.as_words();
    let chosen = select_of_service(addresses, ports, may_open.into(), history.word());
    (chosen != NO_SERVICE).then_some(low(chosen))
}

/// Greater than any id.
const NO_SERVICE: u64 = u64::MAX;

global! {
    fn select_of_service(addresses: u64, ports: u32, may_open: u32, history: u64) -> u64 {
        let key = FlowKey::of_words(addresses, ports);
        let Some(service) = service::lookup(&key) else { return NO_SERVICE };
        if group::serves(service.group.into()).is_err() {
            return NO_SERVICE;
        }
        if may_open == 0 {
            return NOBODY.into();
        }
        let id = next(&service, &key, History::from_word(history));
        trail::selected(service.id, id);
        id.into()
    }
}

/// Number of slots searched for a backend that does not refuse, beyond the scheduler's choice.
const PASSED_OVER: u32 = 16;

/// Returns the backend of a service's next connection, which has this key.
#[inline(always)]
fn next(service: &Service, key: &FlowKey, history: History) -> u32 {
    let Service { ring, id, scheduler, .. } = *service;
    let client = Client::new(key.src(), key.src_port());
    let scheduler = Scheduler::from_number(scheduler);
    let slot = match scheduler {
        Scheduler::RoundRobin => turn(id).and_then(|turn| ring.slot(turn)),
        Scheduler::RoundRobinPerCpu => own_turn(id).and_then(|turn| ring.slot(turn)),
        Scheduler::LeastConnections => less_busy(ring),
        Scheduler::Maglev => ring.slot_at(client.hash()),
        Scheduler::SourceHash => ring.slot_at(client.without_port().hash()),
        Scheduler::Random => ring.slot_at(random()),
    };
    let Some(slot) = slot else { return NOBODY };
    trail::slot(ring, slot);
    let first = holder(slot);
    if !history.names(first) && !passive::refuses(first) {
        return first;
    }
    let sticks = matches!(scheduler, Scheduler::SourceHash);
    let client = if sticks { client.without_port() } else { client };
    willing(ring, client, first, history)
}

/// Returns the backend of a connection whose first choice is to be avoided, or refuses. The search
/// starts at another slot for each client, so that the others share the load of the skipped one. If
/// none is better the first choice stands, so that a service is never without a backend.
#[inline(always)]
fn willing(ring: Ring, client: Client, first: u32, history: History) -> u32 {
    let Some(mut at) = ring.slot_at(client.hash().rotate_left(16)) else { return first };
    let mut chosen = first;
    for _ in 0..PASSED_OVER {
        let id = holder(at);
        at = ring.slot_after(at);
        if id == NOBODY || history.names(id) {
            continue;
        }
        if !passive::refuses(id) {
            return id;
        }
        if history.names(chosen) {
            chosen = id;
        }
    }
    chosen
}

/// Returns the number of the service's next connection.
#[inline(always)]
fn turn(service: u32) -> Option<u32> {
    RING_TURNS.get_ptr_mut(service).map(ticket).map(low)
}

/// Returns the number of the service's next connection on this CPU, counted from the CPU's number on: CPUs
/// in step take different slots.
#[inline(always)]
fn own_turn(service: u32) -> Option<u32> {
    let mut copy = None;
    let turns = raw::changeable(RING_TURNS_EACH.get_ptr_mut(service)?, &mut copy);
    let turn = low(*turns).wrapping_add(cpu());
    *turns += 1;
    Some(turn)
}

/// Returns the less loaded of two slots drawn at random.
#[inline(always)]
fn less_busy(ring: Ring) -> Option<u32> {
    let first = ring.slot_at(random())?;
    let Some(second) = ring.slot_beside(first, random()) else { return Some(first) };
    let [one, other] = [first, second].map(holder);
    let is_busier = load::is_more((one, backends::get(one)?), (other, backends::get(other)?));
    Some(if is_busier { second } else { first })
}

/// Returns the id in a slot.
#[inline(always)]
fn holder(slot: u32) -> u32 {
    RINGS.get(slot / SLOTS).map_or(NOBODY, |slots| slots[(slot % SLOTS) as usize])
}
