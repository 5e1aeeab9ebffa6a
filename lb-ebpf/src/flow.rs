//! The table of known connections: always pairs, one entry for each direction.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::HashMap, macros::btf_map};
use lb_common::{
    backend::Hop,
    flow::{Direction, Flow, FlowKey, Rewrite, State, marks, ticks},
    limits,
    reason::Reason,
    snat::STRIDE,
    stats::Incident,
};

use crate::{
    raw::{self, Entry},
    select, snat, stats,
};

const ENTRIES: usize = 2 * limits::DEFAULT_FLOWS as usize;

#[btf_map]
static FLOWS: HashMap<FlowKey, Flow, ENTRIES> = HashMap::new();

/// How many source ports are tried for a connection.
const PORT_TRIES: usize = 8;

const EEXIST: i32 = -17;

#[inline(always)]
pub(crate) fn lookup(key: &FlowKey) -> Option<Entry> {
    Entry::new(FLOWS.get_ptr_mut(key)?)
}

/// Notes that a packet with these TCP flags went by.
#[inline(always)]
pub(crate) fn touch(entry: Entry, flags: u8) {
    entry.set_seen(now());
    let old = entry.marks;
    let new = marks::after(old, entry.direction(), flags);
    if new != old {
        remark(entry, new & !old, old & !new);
    }
}

/// Changes the marks of both entries of a pair.
#[inline(never)]
fn remark(entry: Entry, set: u32, cleared: u32) {
    entry.mark(set);
    entry.unmark(cleared);
    if let Some(partner) = lookup(&entry.partner()) {
        partner.mark(set);
        partner.unmark(cleared);
    }
}

/// Has replies follow the client, when its frames begin to come another way.
#[inline(always)]
pub(crate) fn learn(entry: Entry, client: Hop) {
    if entry.client != client {
        relearn(entry, client);
    }
}

#[inline(never)]
fn relearn(entry: Entry, client: Hop) {
    entry.set_client(client);
    if let Some(partner) = lookup(&entry.partner()) {
        partner.set_client(client);
    }
}

/// Whether a client's connection attempt on this known tuple is a new connection's, because the old
/// one has ended, or only half of it is left. If so the old pair is gone afterwards, and its source
/// port rests.
#[inline(never)]
pub(crate) fn make_way(key: &FlowKey, entry: Entry) -> Result<bool, Reason> {
    if entry.direction() == Direction::ToClient {
        return Ok(false);
    }
    let partner = partner(key, entry);
    if partner.is_none() {
        entry.mark(marks::QUARANTINED);
    } else if State::of(entry.marks) != State::Closed {
        return Ok(false);
    }
    if !claim(entry) {
        return Err(Reason::Contended);
    }
    if let Some(partner) = partner {
        partner.set_seen(now());
        partner.mark(marks::QUARANTINED);
    }
    FLOWS.remove(key).map_err(|_| Reason::Contended)?;
    Ok(true)
}

/// Makes the pair of a new connection and returns its entry towards the backend.
#[inline(never)]
pub(crate) fn open(key: &FlowKey, id: u32, client: Hop) -> Result<Entry, Reason> {
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    if backend.hop.ifindex == 0 {
        return Err(Reason::Unreachable);
    }
    let now = now();
    let flow = |rewrite, marks| Flow { rewrite, client, backend: id, born: now, seen: now, marks };
    let mut turn = snat::turn(id).ok_or(Reason::Unreachable)?;
    let mut rested = None;
    for _ in 0..PORT_TRIES {
        let outside = snat::drawn(turn, backend).ok_or(Reason::Unreachable)?;
        match insert_pair(key, &outside, flow) {
            Err(Refused::PortTaken) => {}
            Err(Refused::Because(reason)) => return Err(reason),
            Ok(entry) => return Ok(entry),
        }
        stats::incident(Incident::PortClash);
        if rested.is_none() && resting(&outside.turned()).is_some() {
            rested = Some(turn);
        }
        turn = turn.wrapping_add(STRIDE);
    }
    let turn = rested.ok_or(Reason::PortsExhausted)?;
    let outside = snat::drawn(turn, backend).ok_or(Reason::Unreachable)?;
    cut_rest_short(&outside.turned())?;
    stats::incident(Incident::EarlyPortReuse);
    insert_pair(key, &outside, flow).map_err(|refused| match refused {
        Refused::PortTaken => Reason::PortsExhausted,
        Refused::Because(reason) => reason,
    })
}

enum Refused {
    PortTaken,
    Because(Reason),
}

/// Inserts both directions of the connection whose packets are `key` on the client's side and
/// `outside` on the backend's. The reply's entry is first: it is what claims the source port.
#[inline(always)]
fn insert_pair(
    key: &FlowKey,
    outside: &FlowKey,
    flow: impl Fn(Rewrite, u32) -> Flow,
) -> Result<Entry, Refused> {
    let reply = outside.turned();
    let to_client = flow(reply.rewrite_to(&key.turned()), marks::TO_CLIENT);
    FLOWS.insert(&reply, &to_client, BPF_NOEXIST.into()).map_err(|error| match error {
        EEXIST => Refused::PortTaken,
        _ => Refused::Because(Reason::TableFull),
    })?;
    let to_backend = flow(key.rewrite_to(outside), 0);
    if let Err(error) = FLOWS.insert(key, &to_backend, BPF_NOEXIST.into()) {
        let _ = FLOWS.remove(&reply);
        let reason = if error == EEXIST { Reason::Contended } else { Reason::TableFull };
        return Err(Refused::Because(reason));
    }
    lookup(key).ok_or(Refused::Because(Reason::Contended))
}

/// The entry at a backend's tuple, if its connection has ended. Half a pair is not: another CPU may
/// just be making the other half.
#[inline(always)]
fn resting(reply: &FlowKey) -> Option<Entry> {
    lookup(reply).filter(|entry| State::of(entry.marks) == State::Closed)
}

/// Removes the ended connection at a backend's tuple. Its client's entry is claimed first, as it is
/// the one that a new connection of the same client claims.
#[inline(always)]
fn cut_rest_short(reply: &FlowKey) -> Result<(), Reason> {
    let entry = resting(reply).ok_or(Reason::Contended)?;
    if let Some(partner) = partner(reply, entry) {
        if !claim(partner) {
            return Err(Reason::Contended);
        }
        let _ = FLOWS.remove(&entry.partner());
    }
    if !claim(entry) {
        return Err(Reason::Contended);
    }
    FLOWS.remove(reply).map_err(|_| Reason::Contended)
}

/// The other entry of the pair, unless that tuple has gone to another connection.
#[inline(always)]
fn partner(key: &FlowKey, entry: Entry) -> Option<Entry> {
    lookup(&entry.partner()).filter(|partner| partner.partner() == *key)
}

/// Whether this CPU, and no other, may replace the ended connection of this entry. It may have been
/// replaced since it was looked up, and the entry be a living connection's.
#[inline(always)]
fn claim(entry: Entry) -> bool {
    let marks = entry.mark(marks::CLAIMED);
    if marks & marks::CLAIMED != 0 {
        return false;
    }
    let ended = State::of(marks) == State::Closed;
    if !ended {
        entry.unmark(marks::CLAIMED);
    }
    ended
}

#[inline(always)]
fn now() -> u32 {
    ticks::from_nanos(raw::now())
}
