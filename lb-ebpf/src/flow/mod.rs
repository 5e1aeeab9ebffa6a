//! The table of known connections.

mod map;
mod open;
mod steps;

use lb_common::{
    backend::Hop,
    flow::{Direction, FlowKey, marks, ticks},
    reason::Reason,
    table::{self, Hit, Line as _},
};

use self::map::Flows;
pub(crate) use self::open::open;
use crate::raw::{self, Line};

/// A known flow.
pub(crate) type Entry = Hit<Line>;

#[inline(always)]
pub(crate) fn lookup(key: &FlowKey) -> Result<Option<Entry>, Reason> {
    table::find(Flows, key).map_err(|_| Reason::Contended)
}

/// Notes that a packet with these TCP flags went by in this direction, which is the entry's.
#[inline(always)]
pub(crate) fn touch(entry: Entry, direction: Direction, flags: u8) {
    entry.line.set_seen(now());
    let old = entry.tag.marks();
    if marks::is_usual(old, direction, flags) {
        return;
    }
    let new = marks::after(old, direction, flags);
    if new != old {
        steps::remark(entry, new & !old, old & !new);
    }
}

/// Has replies follow the client, when its frames begin to come another way.
#[inline(always)]
pub(crate) fn learn(entry: Entry, client: Hop) -> Entry {
    if entry.line.client() == client {
        return entry;
    }
    Entry { tag: steps::relearn(entry, client), ..entry }
}

/// Whether a client's connection attempt on this known tuple is a new connection's. If so the old
/// one's entry is gone afterwards, and its source port rests.
#[inline(always)]
pub(crate) fn make_way(entry: Entry) -> Result<bool, Reason> {
    steps::make_way(entry, now()).map_err(|_| Reason::Contended)
}

#[inline(always)]
fn now() -> u32 {
    ticks::from_nanos(raw::now())
}
