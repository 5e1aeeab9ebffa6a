//! New connections: both entries.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    flow::FlowKey,
    halves::{high, join, low},
    limits::BACKEND_BITS,
    reason::Reason,
    snat::DRAW_BITS,
    table::{self, Index, Opening, Unopened},
    unmapped,
};

use super::{Known, map::Flows, now};
use crate::{backends, global::global, snat, variant::IS_DRY};

/// Input of a new connection.
pub(crate) struct New {
    pub(crate) backend: u32,
    /// Index of the next hop to its client.
    pub(crate) hop: u32,
    /// The client's initial sequence number.
    pub(crate) number: u32,
    /// Flags seen before.
    pub(crate) seen: u16,
}

/// Creates the pair of a new connection with the source port of this draw. Returns the index of its entry
/// towards the backend.
#[inline(always)]
pub(crate) fn open(key: &FlowKey, new: &New, draw: u32) -> Result<Index, Reason> {
    let (addresses, ports) = key.as_words();
    let packed = pack(new.backend, new.seen, draw);
    unpack_opened(flow_open(addresses, join(ports, new.number), packed, new.hop))
}

/// Returns the connection that was opened at this index.
#[inline(always)]
pub(crate) fn opened(index: Index, key: &FlowKey) -> Result<Known, Reason> {
    // It may be another flow's by now.
    let hit = table::at(Flows, index).ok_or(Reason::Contended)?;
    table::known(Flows, hit, key).ok_or(Reason::Contended)
}

global! {
    fn flow_open(addresses: u64, ports: u64, packed: u64, hop: u32) -> u32 {
        let key = FlowKey::of_words(addresses, low(ports));
        let (backend, seen, draw) = unpack(packed);
        pack_opened(create(&key, &New { backend, hop, number: high(ports), seen }, draw))
    }
}

#[inline(always)]
fn create(key: &FlowKey, new: &New, draw: u32) -> Result<Index, Reason> {
    let New { backend: id, hop, number, seen } = *new;
    let backend = backends::get(id).ok_or(Reason::Unreachable)?;
    // Its slot may just have been given to another service, in whose name it would answer.
    let is_of_vip = backend.vip_port == key.dst_port() && unmapped(backend.vip) == key.dst();
    if backend.hop.ifindex() == 0 || !is_of_vip {
        return Err(Reason::Unreachable);
    }
    let outside = snat::outside(backend, draw).ok_or(Reason::Unreachable)?;
    let opening = Opening { inside: key, hop, backend: id, seen, number, now: now() };
    match table::open(Flows, &opening, &outside) {
        Ok(opened) => Ok(opened.index),
        // The connection that it would replace is still there.
        Err(Unopened::Busy) if IS_DRY && super::is_known(key) => Ok(Index(0)),
        Err(refused) => Err(refused.into()),
    }
}

/// Packs a backend's id, flags seen, and the number of a draw into one word.
#[inline(always)]
const fn pack(backend: u32, seen: u16, draw: u32) -> u64 {
    backend as u64 | (seen as u64) << BACKEND_BITS | (draw as u64) << (u64::BITS - DRAW_BITS)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "parts of the word")]
const fn unpack(packed: u64) -> (u32, u16, u32) {
    let backend = packed as u32 & ((1 << BACKEND_BITS) - 1);
    (backend, (packed >> BACKEND_BITS) as u16, (packed >> (u64::BITS - DRAW_BITS)) as u32)
}

const _: () = assert!(BACKEND_BITS + u16::BITS + DRAW_BITS <= u64::BITS);

/// Greater than any [`Index`].
const REFUSED: u32 = 1 << 31;

#[inline(always)]
fn pack_opened(opened: Result<Index, Reason>) -> u32 {
    match opened {
        Ok(Index(index)) => index,
        Err(reason) => REFUSED | reason as u32,
    }
}

#[inline(always)]
fn unpack_opened(opened: u32) -> Result<Index, Reason> {
    if opened & REFUSED == 0 {
        return Ok(Index(opened));
    }
    Err(match opened & !REFUSED {
        code if code == Reason::Unreachable as u32 => Reason::Unreachable,
        code if code == Reason::PortsExhausted as u32 => Reason::PortsExhausted,
        code if code == Reason::TableFull as u32 => Reason::TableFull,
        _ => Reason::Contended,
    })
}
