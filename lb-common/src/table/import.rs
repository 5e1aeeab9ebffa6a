//! Connections of another table, which this one takes over while packets use it.

use bytemuck::{Pod, Zeroable};

use super::{
    Entry, Found, Opening, Table, Unopened,
    find::seek,
    open,
    pair::{partner, set_flags_of},
    remove::replace_closed,
};
use crate::flow::{Pair, Protocol, V4, flags_seen::is_dated, ticks};

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
            _ => Self::Not,
        }
    }
}

/// Takes over a connection. It may be repeated: what is there already is not added again.
#[inline(always)]
pub fn import<T: Table<Family = V4>>(table: T, import: &Import) -> Imported {
    let Import { last_seen: now, number, seen, .. } = *import;
    let pair = Pair::of_words(import.pair);
    let ends = table.endpoints(pair.backend());
    let inside = &pair.inside(Protocol::Tcp, &ends);
    let Ok(known) = seek(table, inside) else { return Imported::Taken };
    if let Some(known) = known {
        if known.entry.pair().is_same(pair) {
            return update(table, known, import);
        }
        if !gives_way(table, known, import) {
            return Imported::Taken;
        }
    }
    let opening = Opening { inside, hop: pair.hop(), backend: pair.backend(), seen, number, now };
    match open(table, &opening, &pair.outside(Protocol::Tcp, &ends)) {
        Ok(opened) => {
            opened.entry.set_extra(import.other);
            Imported::Added
        }
        Err(Unopened::Full) => Imported::Full,
        Err(Unopened::PortTaken | Unopened::Busy) => Imported::Taken,
    }
}

/// Removes the connection that has the tuple if it began earlier: the client has used its port again since
/// that one was imported.
#[inline(always)]
fn gives_way<T: Table>(table: T, known: Found<T>, import: &Import) -> bool {
    let began = |seen, last_seen, extra| if is_dated(seen) { extra } else { last_seen };
    let former = began(known.tag.flags_seen(), known.entry.last_seen(), known.entry.extra());
    let latter = began(import.seen, import.last_seen, import.other);
    ticks::between(former, latter) > 0
        && replace_closed(table, known, true, import.last_seen) == Ok(true)
}

/// Adds the flags seen that a known connection lacks. It keeps those that only it has, as each table has
/// seen one side's packets if the interfaces changed from one to the other one by one.
#[inline(always)]
fn update<T: Table>(table: T, known: Found<T>, import: &Import) -> Imported {
    let lacking = import.seen & !known.tag.flags_seen();
    let Some(partner) = partner(table, known).filter(|_| lacking != 0) else {
        return Imported::Known;
    };
    set_flags_of(table, known, lacking, 0);
    set_flags_of(table, partner, lacking, 0);
    known.entry.set_extra(import.other);
    partner.entry.set_extra(import.number);
    Imported::Updated
}
