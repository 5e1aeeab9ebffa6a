//! Connections: two flows that are made, changed and removed together.
//!
//! The entry towards the client is published first and freed last, so that an entry towards the
//! backend never stands alone; what becomes of a connection is decided by a swap of the tag of its
//! entry towards the backend. An entry towards the client stands alone for a moment while its
//! connection comes or goes, and on purpose while its source port rests.

use super::{
    Busy, Found, Hit, Line, Place, Refused, Table, Tag, at, claim::obtain, find::seek, peek,
    storage::swap,
};
use crate::{
    backend::Hop,
    flow::{Direction, Flow, FlowKey, Progress, marks, ticks},
    reason::Reason,
    tcp::Segment,
};

/// How often a swap is tried again that others' marks have made fail.
const TRIES: u32 = 4;

/// An entry towards the client that has been alone for this long, a second, is not just being made.
const SETTLED: u32 = ticks::from_nanos(1_000_000_000);

/// What a new connection is.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Its packets on the client's side.
    pub inside: &'a FlowKey,
    pub client: Hop,
    pub backend: u32,
    pub marks: u16,
    /// The client's initial sequence number.
    pub number: u32,
    pub now: u32,
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Another connection has this source port.
    PortTaken,
    /// Another CPU is just opening the same connection.
    Busy,
    Full,
}

impl From<Unopened> for Reason {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::PortTaken => Self::PortsExhausted,
            Unopened::Busy => Self::Contended,
            Unopened::Full => Self::TableFull,
        }
    }
}

/// Makes both entries of a connection, whose packets are `outside` on the backend's side, and
/// returns the one towards the backend.
#[inline(always)]
pub fn open<T: Table>(
    table: T,
    opening: &Opening<'_>,
    outside: &FlowKey,
) -> Result<Found<T>, Unopened> {
    let Opening { inside, client, backend, marks, number, now } = *opening;
    let reply = outside.turned();
    let to_client = obtain(table, &reply, now).map_err(|refused| match refused {
        Refused::Full => Unopened::Full,
        Refused::Known | Refused::Busy => Unopened::PortTaken,
    })?;
    let to_backend = match obtain(table, inside, now) {
        Ok(claim) => claim,
        Err(refused) => {
            to_client.line.publish(to_client.tag.freed());
            return Err(match refused {
                Refused::Full => Unopened::Full,
                Refused::Known | Refused::Busy => Unopened::Busy,
            });
        }
    };
    let answers = Flow::new(&reply, &inside.turned(), client, backend, now);
    to_client.line.write(&answers.with_extra(number));
    to_backend.line.write(&Flow::new(inside, outside, client, backend, now));
    to_client.line.publish(to_client.tag.published(marks | marks::TO_CLIENT));
    let tag = to_backend.tag.published(marks);
    to_backend.line.publish(tag);
    count(table, backend, to_backend.tag, tag);
    Ok(Hit { tag, ..to_backend })
}

/// The other entry of the pair, unless that tuple or the flow's own line has gone to another
/// connection.
#[inline(always)]
pub fn partner<T: Table>(table: T, flow: Found<T>) -> Option<Found<T>> {
    let key = flow.line.key();
    let partner = peek(table, &flow.line.partner())?;
    (partner.line.partner() == key && flow.holds()).then_some(partner)
}

/// As [`partner`], for those to whom a partner that is just being written is one.
#[inline(always)]
fn settled_partner<T: Table>(table: T, flow: Found<T>) -> Result<Option<Found<T>>, Busy> {
    let key = flow.line.key();
    let partner = seek(table, &flow.line.partner())?;
    Ok(partner.filter(|partner| partner.line.partner() == key && flow.holds()))
}

/// Has a connection follow a segment of its own. Returns the marks that it has afterwards.
#[inline(always)]
pub fn track<T: Table>(table: T, flow: Found<T>, segment: &Segment, now: u32) -> u16 {
    let old = flow.tag.marks();
    let Some(partner) = partner(table, flow) else { return old };
    let (direction, to_backend, to_client) = match flow.direction() {
        Direction::ToBackend => (Direction::ToBackend, flow, partner),
        Direction::ToClient => (Direction::ToClient, partner, flow),
    };
    let marks = old & !marks::TO_CLIENT;
    let number = to_client.line.extra();
    let before = Progress { marks, number, other: to_backend.line.extra() };
    let after = before.after(direction, segment);
    let (set, cleared) = (after.marks & !before.marks, before.marks & !after.marks);
    if set | cleared != 0 {
        let former = mark(table, to_backend, set, cleared);
        mark(table, to_client, set, cleared);
        // Of two that make the same step at once, the second has read numbers that may be the first's.
        if former.is_none_or(|former| former.marks() != marks) {
            return old & !cleared | set;
        }
    } else if to_backend.line.tag_afterwards().marks() != marks {
        return old;
    }
    note_numbers((to_backend, to_client), &before, &after, now);
    old & !cleared | set
}

/// Writes what has changed of a connection's numbers to its entries, the one towards the backend first.
#[inline(always)]
fn note_numbers<L: Line>(
    (to_backend, to_client): (Hit<L>, Hit<L>),
    before: &Progress,
    after: &Progress,
    now: u32,
) {
    let [was_dated, is_dated] = [before, after].map(|one| marks::is_dated(one.marks));
    if is_dated && !was_dated {
        to_backend.line.set_extra(now);
    }
    if !is_dated && (was_dated || after.other != before.other) {
        to_backend.line.set_extra(after.other);
    }
    if after.number != before.number {
        to_client.line.set_extra(after.number);
    }
}

/// Notes that a backend has refused a connection, which its client was not told.
#[inline(always)]
pub fn refuse<T: Table>(table: T, flow: Found<T>) {
    remark(table, flow, marks::REFUSED, 0);
}

/// Changes the marks of both entries of a pair.
#[inline(always)]
pub fn remark<T: Table>(table: T, flow: Found<T>, set: u16, cleared: u16) {
    mark(table, flow, set, cleared);
    if let Some(partner) = partner(table, flow) {
        mark(table, partner, set, cleared);
    }
}

/// Changes the marks of a flow, as long as it is the one that had this tag. Returns the tag that it
/// had then.
#[inline(always)]
fn mark<T: Table>(table: T, flow: Found<T>, set: u16, cleared: u16) -> Option<Tag> {
    let marked = |tag: Tag| tag.with_marks(tag.marks() & !cleared | set);
    let backend = flow.line.backend();
    let former = change(flow.line, flow.tag, marked)?;
    count(table, backend, former, marked(former));
    Some(former)
}

/// Swaps a flow's tag, as long as it is the flow that had this tag. Returns the tag that it had.
#[inline(always)]
fn change(line: impl Line, tag: Tag, to: impl Fn(Tag) -> Tag) -> Option<Tag> {
    let mut from = tag;
    for _ in 0..TRIES {
        let found = line.exchange(from, to(from));
        if found == from {
            return Some(from);
        }
        if !found.is_same_flow(tag) {
            return None;
        }
        from = found;
    }
    None
}

/// Counts what a swap has made of the backend's active connections.
#[inline(always)]
fn count<T: Table>(table: T, backend: u32, from: Tag, to: Tag) {
    if from.is_active() != to.is_active() {
        table.add_active(backend, if to.is_active() { 1 } else { -1 });
    }
}

/// Has replies follow the client to another way. Returns the entry's new tag, or the old one if
/// others were at it.
#[inline(always)]
pub fn relearn<T: Table>(table: T, flow: Found<T>, client: Hop) -> Tag {
    if let Some(partner) = partner(table, flow) {
        set_client(partner.line, partner.tag, client);
    }
    set_client(flow.line, flow.tag, client)
}

#[inline(always)]
fn set_client(line: impl Line, tag: Tag, client: Hop) -> Tag {
    let claimed = tag.claimed_to_change();
    if !swap(line, tag, claimed) {
        return tag;
    }
    line.set_client(client);
    let changed = claimed.published(tag.marks());
    line.publish(changed);
    changed
}

/// Whether a client's connection attempt on this known tuple is a new connection's: the old one is
/// [over](marks::is_over), refused, abandoned by its backend as the caller says, or only half of it is
/// left. If so the old one's entry is gone afterwards, and its source port rests.
#[inline(always)]
pub fn replace<T: Table>(
    table: T,
    flow: Found<T>,
    is_abandoned: bool,
    now: u32,
) -> Result<bool, Busy> {
    if matches!(flow.direction(), Direction::ToClient) {
        return Ok(false);
    }
    let partner = settled_partner(table, flow)?;
    let marks = flow.tag.marks();
    let is_over = marks::is_over(marks) || marks & marks::REFUSED != 0 || is_abandoned;
    if partner.is_some() && !is_over {
        return Ok(false);
    }
    let backend = flow.line.backend();
    if !swap(flow.line, flow.tag, flow.tag.freed()) {
        return Err(Busy);
    }
    count(table, backend, flow.tag, flow.tag.freed());
    if let Some(partner) = partner {
        partner.line.set_seen(now);
        mark(table, partner, marks::QUARANTINED, 0);
    }
    Ok(true)
}

/// Takes the connection of the flow that has this tag at this place out of the table. The tag
/// becomes `to`, which is free or claimed; the partner's line is freed. False, and nothing is done,
/// if somebody else was faster.
#[inline(always)]
pub fn remove<T: Table>(table: T, place: Place, tag: Tag, to: Tag, now: u32) -> bool {
    let Some(Hit { line, .. }) = at(table, place) else { return false };
    let flow = Hit { line, place, tag };
    let partner = partner(table, flow);
    let idle = ticks::between(line.seen(), now);
    let backend = line.backend();
    if !flow.holds() {
        return false;
    }
    let rests = tag.marks() & marks::QUARANTINED != 0;
    match (tag.direction(), partner) {
        (Direction::ToBackend, partner) => {
            if !swap(line, tag, to) {
                return false;
            }
            count(table, backend, tag, to);
            if let Some(partner) = partner {
                change(partner.line, partner.tag, Tag::freed);
            }
            true
        }
        (Direction::ToClient, Some(partner)) if !rests => {
            // If its marks are others by now, the connection is not what the caller thinks it is.
            let is_as_thought = partner.tag.marks() | marks::TO_CLIENT == tag.marks();
            if !is_as_thought || !swap(partner.line, partner.tag, partner.tag.freed()) {
                return false;
            }
            count(table, backend, partner.tag, partner.tag.freed());
            // The bucket may have got another mark meanwhile, which is not this connection's.
            change(line, tag, |found| to.in_bucket_of(found)).is_some()
        }
        (Direction::ToClient, _) => (rests || idle > SETTLED) && swap(line, tag, to),
    }
}

/// Ends the sentence of the condemned flow that has this tag at this place, and of its partner.
/// False if their connection is gone.
#[inline(always)]
pub fn revive<T: Table>(table: T, place: Place, tag: Tag) -> bool {
    let Some(Hit { line, .. }) = at(table, place) else { return false };
    if tag.marks() & marks::QUARANTINED != 0 {
        return change(line, tag, Tag::revived).is_some();
    }
    let flow = Hit { line, place, tag };
    let Some(partner) = partner(table, flow) else { return false };
    let (first, last) = match tag.direction() {
        Direction::ToBackend => (flow, partner),
        Direction::ToClient => (partner, flow),
    };
    let revived = |flow: Found<T>| change(flow.line, flow.tag, Tag::revived).is_some();
    revived(first) && revived(last)
}

/// Says that a flow's time is up. It is removed a while later, unless a packet revives it, and at
/// the earliest when every packet that found it before this call has done with it.
pub fn condemn<L: Line>(flow: Hit<L>) -> Option<Tag> {
    let condemned = flow.tag.condemned();
    swap(flow.line, flow.tag, condemned).then_some(condemned)
}
