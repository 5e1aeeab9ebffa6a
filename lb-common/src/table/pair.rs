//! Both entries of a connection.
//!
//! The entry towards the client is published first and freed last, so that an entry towards the
//! backend never stands alone. A connection's fate is decided by a swap of the tag of its entry towards
//! the backend. An entry towards the client stands alone for a moment while its connection comes or
//! goes, and on purpose while its source port is in quarantine.

use super::{Busy, Entry, Found, Hit, Table, Tag, find::seek, storage::swap};
use crate::flow::Shape;

/// Number of swaps tried, if others change the flags seen at the same time.
const TRIES: u32 = 4;

/// Returns the other entry of the pair, unless that tuple or the flow's own entry belongs to another
/// connection by now; none of a flow of one direction.
#[inline(always)]
pub fn partner<T: Table>(table: T, flow: Found<T>) -> Option<Found<T>> {
    settled_partner(table, flow).unwrap_or(None)
}

/// As [`partner`], but tells if the partner is being written.
#[inline(always)]
pub(super) fn settled_partner<T: Table>(
    table: T,
    flow: Found<T>,
) -> Result<Option<Found<T>>, Busy> {
    if flow.tag.shape() == Shape::OneWay {
        return Ok(None);
    }
    let partner = seek(table, &flow.partner_key(table))?;
    Ok(partner.filter(|partner| are_one(flow, *partner)))
}

/// Returns true if both are entries of one connection, and the first one's still is.
#[inline(always)]
fn are_one<E: Entry>(flow: Hit<E>, partner: Hit<E>) -> bool {
    partner.entry.pair().is_same(flow.entry.pair()) && flow.holds()
}

/// Changes the flags seen in both entries of a pair.
#[inline(always)]
pub fn set_flags<T: Table>(table: T, flow: Found<T>, set: u16, cleared: u16) {
    set_flags_of(table, flow, set, cleared);
    if let Some(partner) = partner(table, flow) {
        set_flags_of(table, partner, set, cleared);
    }
}

/// Changes the flags seen in an entry, provided that the flow with this tag is still in it. Returns the
/// tag that it had then.
#[inline(always)]
pub(super) fn set_flags_of<T: Table>(
    table: T,
    flow: Found<T>,
    set: u16,
    cleared: u16,
) -> Option<Tag> {
    let changed = |tag: Tag| tag.with_flags_seen(tag.flags_seen() & !cleared | set);
    let backend = flow.entry.pair().backend();
    let former = change(flow.entry, flow.tag, changed)?;
    count(table, backend, former, changed(former));
    Some(former)
}

/// Swaps the tag of a flow, provided that the flow with this tag is still in the entry. Returns the tag
/// that it had.
#[inline(always)]
pub(super) fn change(entry: impl Entry, tag: Tag, to: impl Fn(Tag) -> Tag) -> Option<Tag> {
    let mut from = tag;
    for _ in 0..TRIES {
        let found = entry.exchange(from, to(from));
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

/// Counts the effect of a swap on the backend's active connections.
#[inline(always)]
pub(super) fn count<T: Table>(table: T, backend: u32, from: Tag, to: Tag) {
    if from.is_active() != to.is_active() {
        table.add_active(backend, if to.is_active() { 1 } else { -1 });
    }
}

/// Sets the [index](crate::client_hops) of the next hop to the client in both entries. Returns the entry's new
/// tag, or the old one if another CPU was faster.
#[inline(always)]
pub fn update_client_hop<T: Table>(table: T, flow: Found<T>, hop: u32) -> Tag {
    if let Some(partner) = partner(table, flow) {
        set_hop(partner.entry, partner.tag, hop);
    }
    set_hop(flow.entry, flow.tag, hop)
}

#[inline(always)]
fn set_hop(entry: impl Entry, tag: Tag, hop: u32) -> Tag {
    let claimed = tag.claimed_to_change();
    if !swap(entry, tag, claimed) {
        return tag;
    }
    entry.set_pair(entry.pair().with_hop(hop));
    let changed = claimed.published(tag.flags_seen());
    entry.publish(changed);
    changed
}
