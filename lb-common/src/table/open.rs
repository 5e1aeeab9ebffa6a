//! Creation of connections: both entries at once.

use super::{
    Entry, Found, Hit, Index, Key, Refused, Table,
    claim::{approach, claim, leave_home},
};
use crate::{
    flow::{Family, Flow, Pair, Tuple, V4, flags_seen},
    reason::Reason,
};

/// A new connection.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a, F: Family = V4> {
    /// The tuple of its packets on the client's side.
    pub inside: &'a Tuple<F>,
    /// [Index](crate::client_hops) of the next hop to the client.
    pub hop: u32,
    pub backend: u32,
    pub seen: u16,
    /// The client's initial sequence number.
    pub number: u32,
    pub now: u32,
}

/// Reasons why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// Another connection has this source port.
    PortTaken,
    /// Another CPU is opening the same connection.
    Busy,
    Full,
}

impl Unopened {
    /// Why there is no entry for a client's packets.
    #[inline(always)]
    const fn of_client(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Full,
            Refused::Known | Refused::Busy => Self::Busy,
        }
    }
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

/// Creates both entries of a connection whose packets are `outside` on the backend's side. Returns the
/// one towards the backend.
#[inline(always)]
pub fn open<T: Table>(
    table: T,
    opening: &Opening<'_, T::Family>,
    outside: &Key<T>,
) -> Result<Found<T>, Unopened> {
    open_by(table, opening, outside, T::claim_crowded)
}

/// As [`open`], with this step for crowded buckets.
#[inline(always)]
pub(super) fn open_by<T: Table>(
    table: T,
    opening: &Opening<'_, T::Family>,
    outside: &Key<T>,
    claim_crowded: impl Fn(T, &Key<T>, u32) -> Index,
) -> Result<Found<T>, Unopened> {
    let Opening { inside, hop, backend, seen, number, now } = *opening;
    let reply = outside.turned();
    // Both homes are read before either is claimed, so that their cache misses overlap: a claim waits
    // for its entry's memory.
    let here = approach(table, inside).ok_or(Unopened::Full)?;
    let there = approach(table, &reply).ok_or(Unopened::Full)?;
    let to_client =
        claim(table, &there, &reply, now, &claim_crowded).map_err(|refused| match refused {
            Refused::Full => Unopened::Full,
            Refused::Known | Refused::Busy => Unopened::PortTaken,
        })?;
    let to_client = leave_home(&here, to_client);
    let pair = Pair::new(inside, outside, backend, hop);
    to_client.entry.write(&Flow::new(pair, now).with_extra(number));
    let to_backend = match claim(table, &here, inside, now, &claim_crowded) {
        Ok(claimed) => claimed,
        Err(refused) => {
            to_client.entry.publish(to_client.tag.freed());
            return Err(Unopened::of_client(refused));
        }
    };
    // Read back, as the kernel's program has no stack to keep it.
    let pair = to_client.entry.pair();
    to_backend.entry.write(&Flow::new(pair, now));
    to_client.entry.publish(to_client.tag.published(seen | flags_seen::TO_CLIENT));
    let tag = to_backend.tag.published(seen);
    to_backend.entry.publish(tag);
    if tag.is_active() {
        table.add_active(pair.backend(), 1);
    }
    Ok(Hit { tag, ..to_backend })
}

/// Creates the only entry of a connection whose backend answers the client itself.
#[inline(always)]
pub fn open_one_way<T: Table>(
    table: T,
    opening: &Opening<'_, T::Family>,
) -> Result<Found<T>, Unopened> {
    let Opening { inside, hop, backend, seen, number, now } = *opening;
    let here = approach(table, inside).ok_or(Unopened::Full)?;
    let claimed =
        claim(table, &here, inside, now, T::claim_crowded).map_err(Unopened::of_client)?;
    let pair = Pair::one_way(inside, backend, hop);
    claimed.entry.write(&Flow::new(pair, now).with_extra(number));
    let tag = claimed.tag.one_way().published(seen | flags_seen::UNSEEN);
    claimed.entry.publish(tag);
    if tag.is_active() {
        table.add_active(backend, 1);
    }
    Ok(Hit { tag, ..claimed })
}
