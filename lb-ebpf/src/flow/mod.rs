//! The table of known connections.

mod ended;
mod import;
mod map;
mod open;
mod ports;
mod rehearsal;
mod steps;

use lb_common::{
    backend::{Backend, Hop},
    flow::{FlowKey, V4, is_beyond, ticks},
    reason::Reason,
    table::{self, Entry as _},
    tcp::Segment,
};

use self::map::Flows;
pub(crate) use self::{
    import::import,
    open::{New, open, opened},
    ports::find as find_port,
    rehearsal::rehearsed,
};
use crate::{client_hops, raw};

/// A known flow.
pub(crate) type Hit = table::Hit<raw::Entry<V4>>;

/// A known flow, with its backend.
pub(crate) type Known = table::Known<raw::Entry<V4>, &'static Backend>;

#[inline(always)]
pub(crate) fn lookup(key: &FlowKey) -> Result<Option<Known>, Reason> {
    table::find(Flows, key).map_err(|_| Reason::Contended)
}

/// Returns true if packets of this tuple belong to a known connection, whose service may be gone.
#[inline(always)]
pub(crate) fn is_known(key: &FlowKey) -> bool {
    table::peek(Flows, key).is_some()
}

/// Returns the tuple of the client's packets of a backend's flow.
#[inline(always)]
pub(crate) fn inside(hit: Hit) -> FlowKey {
    hit.partner_key(Flows)
}

/// Records the time of a packet.
#[inline(always)]
pub(crate) fn touch(hit: Hit) {
    hit.entry.set_last_seen(now());
}

/// Updates a connection by a segment that is not [usual](lb_common::tcp::is_usual), or not yet.
/// Returns its flags seen afterwards.
#[inline(always)]
pub(crate) fn track(hit: Hit, segment: &Segment) -> Result<u16, Reason> {
    steps::track(hit, segment).map_err(|_| Reason::Contended)
}

/// Records the backend's acknowledgement in a usual segment of the flow.
#[inline(always)]
pub(crate) fn acknowledge(hit: Hit, acknowledgement: u32) {
    if is_beyond(acknowledgement, hit.entry.extra()) && hit.holds() {
        hit.entry.set_extra(acknowledgement);
    }
}

/// Records that the backend has refused the connection, without the client's knowledge.
#[inline(always)]
pub(crate) fn refuse(hit: Hit) {
    steps::refuse(hit);
}

/// Sets the next hop of replies, if there is room for it.
#[inline(always)]
pub(crate) fn update_client_hop(hit: Hit, client: Hop) -> Hit {
    let Some(hop) = client_hops::index_of(client) else { return hit };
    Hit { tag: steps::update_client_hop(hit, hop), ..hit }
}

/// Sets the [index](client_hops::index_of) of the next hop of replies.
#[inline(always)]
pub(crate) fn set_client_hop(hit: Hit, hop: u32) {
    steps::update_client_hop(hit, hop);
}

/// Returns the time of the last packet of a client's backend; that of the client's if it has no entry. Not an
/// `Option`, half of which the compiler leaves undefined, which the verifier refuses.
#[inline(always)]
pub(crate) fn last_heard(hit: Hit) -> u32 {
    table::partner(Flows, hit).unwrap_or(hit).entry.last_seen()
}

/// Returns the flow that was found with this tag at this index.
#[inline(always)]
pub(crate) fn found(index: u32, tag: u64) -> Option<Hit> {
    steps::hit(index, tag)
}

/// Removes the connection of a known tuple if a client's SYN on it is a new connection's. Returns true
/// if it was removed.
#[inline(always)]
pub(crate) fn replace_closed(hit: Hit, is_abandoned: bool) -> Result<bool, Reason> {
    steps::replace_closed(hit, is_abandoned, now()).map_err(|_| Reason::Contended)
}

/// Returns the present time in [`ticks`].
#[inline(always)]
pub(crate) fn now() -> u32 {
    ticks::from_nanos(raw::now())
}
