//! Connections of another table, which this one takes over while packets use it.

use bytemuck::{Pod, Zeroable};

use super::{
    Busy, Entry, Found, Hit, Opening, Table, Unopened,
    find::seek,
    open::open_by,
    pair::{partner, set_flags_of, settled_partner},
    remove::{mark_told, replace_closed},
};
use crate::flow::{
    Flow, Pair, Protocol, State, V4,
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
    /// Those that it was imported with before; 0 if it was not.
    pub before: u16,
    /// 1 if the connection log has its end, else 0.
    pub is_told: u16,
    /// Number of an [`Imported`], which the program writes.
    pub result: u16,
    pub reserved: [u16; 2],
}

const _: () = assert!(size_of::<Import>() == 40);

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
    /// It was there already, and has got what only the other table had.
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

/// Takes over a connection, if there is room for it without evicting one that is established or ends. It may be
/// repeated: what is there already is not added again.
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
    match open_by(table, &opening, &pair.outside(Protocol::Tcp, &ends), T::claim_unneeded) {
        Ok(opened) => {
            if import.is_told != 0 {
                mark_told(opened, true);
            }
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
/// that one was imported. A handshake that began later gives way to a connection in use: its SYN was a copy,
/// or spoofed.
#[inline(always)]
fn gives_way<T: Table<Family = V4>>(
    table: T,
    known: Found<T>,
    import: &Import,
    now: u32,
) -> Result<bool, Busy> {
    let Hit { entry, tag, .. } = known;
    if !are_shaken(tag.flags_seen()) && is_in_use(State::of(import.seen)) {
        return replace_closed(table, known, true, now);
    }
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

/// Returns true if the handshake is complete, and neither side has ended the connection.
const fn is_in_use(state: State) -> bool {
    matches!(state, State::Answered | State::Established)
}

/// Brings a known connection to where it is in either table: each has seen one side's packets if the
/// interfaces changed from one to the other one by one.
#[inline(always)]
fn update<T: Table>(table: T, known: Found<T>, import: &Import) -> Imported {
    let (to_backend, to_client) = match settled_partner(table, known) {
        Ok(Some(partner)) => (known, partner),
        Ok(None) => return Imported::Known,
        Err(Busy) => return Imported::Busy,
    };
    let is_later = ticks::between(to_client.entry.last_seen(), import.last_seen) > 0;
    for flow in [to_backend, to_client] {
        if ticks::between(flow.entry.last_seen(), import.last_seen) > 0 {
            flow.entry.set_last_seen(import.last_seen);
        }
    }
    let ours = known.tag.flags_seen();
    // What has changed in the other table since the last import.
    let (set, cleared) = (import.seen & !import.before, import.before & !import.seen);
    let after = (ours | set) & !cleared;
    let is_number_newer = match (are_shaken(ours), are_shaken(import.seen)) {
        // After more than half of all numbers, the latter seems to come before the former.
        (true, true) => is_later || is_beyond(import.number, to_client.entry.extra()),
        (false, true) => true,
        (_, false) => import.seen & !ours & BACKEND_SYN != 0,
    };
    let is_number_newer = is_number_newer && import.number != to_client.entry.extra();
    if ours == after && !is_number_newer {
        return Imported::Known;
    }
    if set_flags_of(table, to_backend, set, cleared).is_none() {
        return Imported::Busy;
    }
    set_flags_of(table, to_client, set, cleared);
    if is_dated(ours) != is_dated(after) && is_dated(import.seen) == is_dated(after) {
        to_backend.entry.set_extra(import.other);
    }
    if is_number_newer {
        to_client.entry.set_extra(import.number);
    }
    Imported::Updated
}
