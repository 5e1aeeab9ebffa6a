//! Connections of another table, which this one takes over while packets use it.

use bytemuck::{Pod, Zeroable};

use super::{
    Busy, Entry, Found, Hit, Opening, Table, Unopened,
    find::seek,
    open,
    pair::{partner, set_flags_of, settled_partner},
    remove::replace_closed,
};
use crate::flow::{
    Flow, Pair, Protocol, V4,
    flags_seen::{BACKEND_SYN, are_shaken, is_dated},
    is_beyond, ticks,
};

/// A connection as the other table has it: the daemon's input to the program that imports it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Import {
    /// Words of the [`Pair`].
    pub pair: [u64; 2],
    /// Time of its last packet, in [`ticks`](crate::flow::ticks).
    pub last_seen: u32,
    /// [`Flow::extra`](crate::flow::Flow::extra) of its entry towards the client.
    pub number: u32,
    /// The same of its entry towards the backend.
    pub other: u32,
    /// [`flags_seen`](crate::flow::flags_seen) of its entry towards the backend.
    pub seen: u16,
    /// Number of an [`Imported`], which the program writes.
    pub result: u16,
}

const _: () = assert!(size_of::<Import>() == 32);

/// Maximum number of [`Import`]s in one run of the program.
pub const IMPORTS_EACH_RUN: usize = 64;

/// Result of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Imported {
    /// Nobody has tried yet.
    Not,
    Added,
    /// It was there already, and has gone as far as in the other table.
    Known,
    /// It was there already, and has got the flags seen that only the other table had.
    Updated,
    /// Another connection has its tuple or its source port.
    Taken,
    Full,
    /// Others are changing what it needs: try again.
    Busy,
}

impl Imported {
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::Added,
            2 => Self::Known,
            3 => Self::Updated,
            4 => Self::Taken,
            5 => Self::Full,
            6 => Self::Busy,
            _ => Self::Not,
        }
    }
}

/// Takes over a connection. It may be repeated: what is there already is not added again.
#[inline(always)]
pub fn import<T: Table<Family = V4>>(table: T, import: &Import, now: u32) -> Imported {
    let Import { last_seen, number, other, seen, .. } = *import;
    let pair = Pair::of_words(import.pair);
    let ends = table.endpoints(pair.backend());
    let inside = &pair.inside(Protocol::Tcp, &ends);
    let Ok(known) = seek(table, inside) else { return Imported::Busy };
    if let Some(known) = known {
        if known.entry.pair().is_same(pair) {
            return update(table, known, import);
        }
        match gives_way(table, known, import, now) {
            Ok(true) => {}
            Ok(false) => return Imported::Taken,
            Err(Busy) => return Imported::Busy,
        }
    }
    let opening = Opening { inside, hop: pair.hop(), backend: pair.backend(), seen, number, now };
    match open(table, &opening, &pair.outside(Protocol::Tcp, &ends)) {
        Ok(opened) => {
            opened.entry.set_extra(other);
            for flow in [Some(opened), partner(table, opened)].into_iter().flatten() {
                flow.entry.set_last_seen(last_seen);
            }
            Imported::Added
        }
        Err(Unopened::Full) => Imported::Full,
        Err(Unopened::PortTaken) => Imported::Taken,
        Err(Unopened::Busy) => Imported::Busy,
    }
}

/// Removes the connection that has the tuple if it began earlier: the client has used its port again since
/// that one was imported.
#[inline(always)]
fn gives_way<T: Table<Family = V4>>(
    table: T,
    known: Found<T>,
    import: &Import,
    now: u32,
) -> Result<bool, Busy> {
    let Hit { entry, tag, .. } = known;
    let former = Flow { pair: entry.pair(), last_seen: entry.last_seen(), extra: entry.extra() };
    let latter = Flow { last_seen: import.last_seen, extra: import.other, ..former };
    // A handshake may never end: it takes the place of no connection that is still in use.
    let until =
        if are_shaken(import.seen) { former.began(tag.flags_seen()) } else { former.last_seen };
    if ticks::between(until, latter.began(import.seen)) == 0 {
        return Ok(false);
    }
    replace_closed(table, known, true, now)
}

/// Adds what a known connection lacks. It keeps what only it has, as each table has seen one side's packets
/// if the interfaces changed from one to the other one by one.
#[inline(always)]
fn update<T: Table>(table: T, known: Found<T>, import: &Import) -> Imported {
    let (to_backend, to_client) = match settled_partner(table, known) {
        Ok(Some(partner)) => (known, partner),
        Ok(None) => return Imported::Known,
        Err(Busy) => return Imported::Busy,
    };
    for flow in [to_backend, to_client] {
        if ticks::between(flow.entry.last_seen(), import.last_seen) > 0 {
            flow.entry.set_last_seen(import.last_seen);
        }
    }
    let before = known.tag.flags_seen();
    let after = before | import.seen;
    let is_number_newer = match (are_shaken(before), are_shaken(import.seen)) {
        (true, true) => is_beyond(import.number, to_client.entry.extra()),
        (false, true) => true,
        (_, false) => import.seen & !before & BACKEND_SYN != 0,
    };
    if before == after && !is_number_newer {
        return Imported::Known;
    }
    if set_flags_of(table, to_backend, after & !before, 0).is_none() {
        return Imported::Busy;
    }
    set_flags_of(table, to_client, after & !before, 0);
    if is_dated(before) != is_dated(after) && is_dated(import.seen) == is_dated(after) {
        to_backend.entry.set_extra(import.other);
    }
    if is_number_newer {
        to_client.entry.set_extra(import.number);
    }
    Imported::Updated
}
