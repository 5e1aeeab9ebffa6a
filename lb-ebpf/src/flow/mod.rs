//! The table of known connections.

mod map;
mod open;
mod steps;

use lb_common::{
    backend::Hop,
    flow::{FlowKey, is_beyond, ticks},
    reason::Reason,
    table::{self, Hit, Line as _},
    tcp::Segment,
};

use self::map::Flows;
pub(crate) use self::open::{New, open};
use crate::raw::{self, Line};

/// A known flow.
pub(crate) type Entry = Hit<Line>;

#[inline(always)]
pub(crate) fn lookup(key: &FlowKey) -> Result<Option<Entry>, Reason> {
    table::find(Flows, key).map_err(|_| Reason::Contended)
}

/// Whether packets of this tuple are of a known connection, whose service may be gone.
#[inline(always)]
pub(crate) fn is_known(key: &FlowKey) -> bool {
    table::peek(Flows, key).is_some()
}

/// Notes that a packet of the entry went by.
#[inline(always)]
pub(crate) fn touch(entry: Entry) {
    entry.line.set_seen(now());
}

/// Has a connection follow a segment that is not [usual](lb_common::tcp::is_usual), or not yet.
/// Returns its marks afterwards.
#[inline(always)]
pub(crate) fn track(entry: Entry, segment: &Segment) -> u16 {
    steps::track(entry, segment)
}

/// Notes what the backend has acknowledged in a usual segment, which is the entry's.
#[inline(always)]
pub(crate) fn acknowledge(entry: Entry, acknowledgement: u32) {
    if is_beyond(acknowledgement, entry.line.extra()) && entry.holds() {
        entry.line.set_extra(acknowledgement);
    }
}

/// Notes that the backend has refused the connection, which its client is not told.
#[inline(always)]
pub(crate) fn refuse(entry: Entry) {
    steps::refuse(entry);
}

/// Has replies go to the client by this hop.
#[inline(always)]
pub(crate) fn relearn(entry: Entry, client: Hop) -> Entry {
    Entry { tag: steps::relearn(entry, client), ..entry }
}

/// The flow that was found with this tag at this place.
#[inline(always)]
pub(crate) fn found(place: u32, tag: u64) -> Option<Entry> {
    steps::entry(place, tag)
}

/// Whether a client's connection attempt on this known tuple is a new connection's. If so the old
/// one's entry is gone afterwards, and its source port rests.
#[inline(always)]
pub(crate) fn replace(entry: Entry, is_abandoned: bool) -> Result<bool, Reason> {
    steps::replace(entry, is_abandoned, now()).map_err(|_| Reason::Contended)
}

/// The present in [`ticks`].
#[inline(always)]
pub(crate) fn now() -> u32 {
    ticks::from_nanos(raw::now())
}
