//! Connections as their segments change them.

use super::{
    Busy, Entry, Found, Hit, Table, Tag,
    pair::{set_flags, set_flags_of, settled_partner},
};
use crate::{
    flow::{Direction, Progress, Shape, after_datagram, after_datagram_one_way, flags_seen},
    tcp::Segment,
};

/// Updates a connection by one of its own segments. Returns its flags seen afterwards.
#[inline(always)]
pub fn track<T: Table>(table: T, flow: Found<T>, segment: &Segment) -> Result<u16, Busy> {
    let old = flow.tag.flags_seen();
    let Some(partner) = settled_partner(table, flow)? else { return Ok(old) };
    let (direction, to_backend, to_client) = match flow.direction() {
        Direction::ToBackend => (Direction::ToBackend, flow, partner),
        Direction::ToClient => (Direction::ToClient, partner, flow),
    };
    let seen = old & !flags_seen::TO_CLIENT;
    let number = to_client.entry.extra();
    let before = Progress { seen, number, other: to_backend.entry.extra() };
    let after = before.after(direction, segment);
    let (set, cleared) = (after.seen & !before.seen, before.seen & !after.seen);
    if set | cleared != 0 {
        let former = set_flags_of(table, to_backend, set, cleared);
        set_flags_of(table, to_client, set, cleared);
        let Some(former) = former.map(Tag::flags_seen) else { return Ok(old & !cleared | set) };
        // Only one swap makes this step, whatever other CPUs do at the same time.
        if flags_seen::is_dated(former & !cleared | set) && !flags_seen::is_dated(former) {
            // Of the backend's packet before this one: its SYN, which it has answered the first packet with.
            to_backend.entry.set_extra(to_client.entry.last_seen());
        }
        // Of two that make the same step at once, the second has read numbers that may be the first's.
        if former != seen {
            return Ok(old & !cleared | set);
        }
    } else if to_backend.entry.tag_afterwards().flags_seen() != seen {
        return Ok(old);
    }
    write_numbers((to_backend, to_client), &before, &after);
    Ok(old & !cleared | set)
}

/// As [`track`], of a flow of one direction.
#[inline(always)]
pub fn track_one_way<T: Table>(table: T, flow: Found<T>, segment: &Segment) -> u16 {
    let before = Progress { seen: flow.tag.flags_seen(), number: flow.entry.extra(), other: 0 };
    let after = before.after_one_way(segment);
    let (set, cleared) = (after.seen & !before.seen, before.seen & !after.seen);
    if set | cleared != 0 {
        set_flags_of(table, flow, set, cleared);
    }
    if after.number != before.number && flow.holds() {
        flow.entry.set_extra(after.number);
    }
    after.seen
}

/// As [`track`], by a datagram, of a flow of any shape.
#[inline(always)]
pub fn track_datagram<T: Table>(table: T, flow: Found<T>) -> u16 {
    let before = flow.tag.flags_seen();
    let after = match flow.tag.shape() {
        Shape::Paired => after_datagram(before, flow.direction()),
        Shape::OneWay => after_datagram_one_way(before),
    };
    if after != before {
        set_flags(table, flow, after & !before, 0);
    }
    after
}

/// Writes the numbers that have changed to the entries, the one towards the backend first, unless that has the
/// connection's start time.
#[inline(always)]
fn write_numbers<E: Entry>(
    (to_backend, to_client): (Hit<E>, Hit<E>),
    before: &Progress,
    after: &Progress,
) {
    let [was_dated, is_dated] = [before, after].map(|one| flags_seen::is_dated(one.seen));
    if !is_dated && (was_dated || after.other != before.other) {
        to_backend.entry.set_extra(after.other);
    }
    if after.number != before.number {
        to_client.entry.set_extra(after.number);
    }
}

/// Records that a backend has refused a connection, without the client's knowledge.
#[inline(always)]
pub fn refuse<T: Table>(table: T, flow: Found<T>) {
    set_flags(table, flow, flags_seen::REFUSED, 0);
}
