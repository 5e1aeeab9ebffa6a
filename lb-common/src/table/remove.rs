//! The end of connections: replaced, removed, or expired.

use super::{
    Busy, Entry, Found, Hit, Index, Table, Tag, at,
    pair::{change, count, set_flags_of, settled_partner},
    storage::swap,
};
use crate::flow::{Direction, Shape, flags_seen, ticks};

/// Idle time, a second, after which an entry towards the client that stands alone is not just being
/// created.
const SETTLED: u32 = ticks::from_nanos(1_000_000_000);

/// Removes the connection of a known tuple if a client's SYN on it is a new connection's: the old one
/// [is over](flags_seen::is_over), refused, reset by the client with the very number, abandoned by its
/// backend as the caller says, or only half of it is left. Its source port goes into quarantine. Returns true if it was removed.
#[inline(always)]
pub fn replace_closed<T: Table>(
    table: T,
    flow: Found<T>,
    is_abandoned: bool,
    now: u32,
) -> Result<bool, Busy> {
    if matches!(flow.direction(), Direction::ToClient) {
        return Ok(false);
    }
    let partner = settled_partner(table, flow)?;
    let seen = flow.tag.flags_seen();
    let (is_whole, is_over) = match flow.tag.shape() {
        Shape::Paired => (partner.is_some(), flags_seen::is_over(seen)),
        Shape::OneWay => (true, flags_seen::is_over_one_way(seen)),
    };
    if is_whole
        && !is_over
        && seen & (flags_seen::REFUSED | flags_seen::RESET_EXACTLY) == 0
        && !is_abandoned
    {
        return Ok(false);
    }
    let backend = flow.entry.pair().backend();
    if !swap(flow.entry, flow.tag, flow.tag.freed()) {
        return Err(Busy);
    }
    if let Some(partner) = partner {
        partner.entry.set_last_seen(now);
        set_flags_of(table, partner, flags_seen::QUARANTINED, 0);
    }
    count(table, backend, flow.tag, flow.tag.freed());
    Ok(true)
}

/// Removes the connection of the flow with this tag at this index. The tag becomes `to`, which is free
/// or claimed; the partner's entry is freed. Returns false, and does nothing, if another CPU was faster.
#[inline(always)]
pub fn remove<T: Table>(table: T, index: Index, tag: Tag, to: Tag, now: u32) -> bool {
    let Some(Hit { entry, .. }) = at(table, index) else { return false };
    let flow = Hit { entry, index, tag };
    let Ok(partner) = settled_partner(table, flow) else { return false };
    let idle = ticks::between(entry.last_seen(), now);
    let backend = entry.pair().backend();
    if !flow.holds() {
        return false;
    }
    let is_quarantined = tag.flags_seen() & flags_seen::QUARANTINED != 0;
    match (tag.direction(), partner) {
        (Direction::ToBackend, partner) => {
            if !swap(entry, tag, to) {
                return false;
            }
            if let Some(partner) = partner {
                change(partner.entry, partner.tag, Tag::freed);
            }
            count(table, backend, tag, to);
            true
        }
        (Direction::ToClient, Some(partner)) if !is_quarantined => {
            // With other flags seen, the connection is not what the caller takes it for.
            let is_as_known = partner.tag.flags_seen() | flags_seen::TO_CLIENT == tag.flags_seen();
            if !is_as_known || !swap(partner.entry, partner.tag, partner.tag.freed()) {
                return false;
            }
            count(table, backend, partner.tag, partner.tag.freed());
            // The reach, which is not this connection's, may have been extended meanwhile.
            change(entry, tag, |found| to.with_reach_of(found)).is_some()
        }
        (Direction::ToClient, _) => (is_quarantined || idle > SETTLED) && swap(entry, tag, to),
    }
}

/// Marks a flow as timed out. It is removed later, unless a packet revives it, and not before every
/// packet that found it before this call is done with it.
pub fn mark_expiring<E: Entry>(flow: Hit<E>) -> Option<Tag> {
    let expiring = flow.tag.expiring();
    swap(flow.entry, flow.tag, expiring).then_some(expiring)
}

/// Marks the connection of an entry towards the backend as one whose end was told, or not. Returns the new
/// tag, if nothing else has changed it.
pub fn mark_told<E: Entry>(flow: Hit<E>, is_told: bool) -> Option<Tag> {
    let marked = flow.tag.telling(is_told);
    swap(flow.entry, flow.tag, marked).then_some(marked)
}

/// Revives the expiring flow with this tag at this index, and its partner. Returns false if their
/// connection is gone.
#[inline(always)]
pub fn revive<T: Table>(table: T, index: Index, tag: Tag) -> Result<bool, Busy> {
    let Some(Hit { entry, .. }) = at(table, index) else { return Ok(false) };
    let is_alone = tag.flags_seen() & flags_seen::QUARANTINED != 0;
    if is_alone || tag.shape() == Shape::OneWay {
        return Ok(change(entry, tag, Tag::revived).is_some());
    }
    let flow = Hit { entry, index, tag };
    let Some(partner) = settled_partner(table, flow)? else { return Ok(false) };
    let (first, last) = match tag.direction() {
        Direction::ToBackend => (flow, partner),
        Direction::ToClient => (partner, flow),
    };
    let revived = |flow: Found<T>| change(flow.entry, flow.tag, Tag::revived).is_some();
    Ok(revived(first) && revived(last))
}
