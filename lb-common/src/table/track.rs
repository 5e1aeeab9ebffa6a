//! Connections as their segments change them.

use super::{
    Entry, Found, Hit, Table,
    pair::{partner, set_flags, set_flags_of},
};
use crate::{
    flow::{Direction, Progress, Shape, after_datagram, after_datagram_one_way, flags_seen},
    tcp::Segment,
};

/// Updates a connection by one of its own segments. Returns its flags seen afterwards.
#[inline(always)]
pub fn track<T: Table>(table: T, flow: Found<T>, segment: &Segment) -> u16 {
    let old = flow.tag.flags_seen();
    let Some(partner) = partner(table, flow) else { return old };
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
        // Of two that make the same step at once, the second has read numbers that may be the first's.
        if former.is_none_or(|former| former.flags_seen() != seen) {
            return old & !cleared | set;
        }
    } else if to_backend.entry.tag_afterwards().flags_seen() != seen {
        return old;
    }
    write_numbers((to_backend, to_client), &before, &after);
    old & !cleared | set
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

/// Writes the numbers that have changed to the entries, the one towards the backend first.
#[inline(always)]
fn write_numbers<E: Entry>(
    (to_backend, to_client): (Hit<E>, Hit<E>),
    before: &Progress,
    after: &Progress,
) {
    let [was_dated, is_dated] = [before, after].map(|one| flags_seen::is_dated(one.seen));
    if is_dated && !was_dated {
        // Of the backend's packet before this one: its SYN, which it has answered the first packet with.
        to_backend.entry.set_extra(to_client.entry.last_seen());
    }
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
