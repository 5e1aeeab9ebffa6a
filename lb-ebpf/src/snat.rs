//! Selection of a connection's source address and port.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use lb_common::{
    flow::FlowKey,
    limits,
    snat::{Source, ahead, draw},
    unmapped,
};

use crate::{
    raw::{self, ticket},
    select,
};

/// The sources of all backends; each backend names a region.
#[btf_map]
static SNAT_SOURCES: Array<Source, { limits::SNAT_SOURCES as usize }> = Array::new();

/// Number of source ports drawn for each backend, by backend id.
#[btf_map]
static SNAT_TURNS: Array<u64, { limits::BACKENDS as usize }> = Array::new();

/// Returns the number of a backend's next draw.
#[inline(always)]
pub(crate) fn turn(id: u32) -> Option<u64> {
    SNAT_TURNS.get_ptr_mut(id).map(ticket)
}

/// Skips this many of a backend's next draws.
#[inline(always)]
pub(crate) fn skip(id: u32, draws: u32) {
    if let Some(turns) = SNAT_TURNS.get_ptr_mut(id) {
        raw::skip(turns, draws.into());
    }
}

/// Returns the backend-side tuple at this try of a new connection whose own draw is `turn`.
#[inline(always)]
pub(crate) fn drawn(turn: u64, attempt: u32, id: u32) -> Option<FlowKey> {
    let backend = select::backend(id)?;
    if backend.source_count == 0 {
        return None;
    }
    let first = SNAT_SOURCES.get(backend.sources)?;
    if first.ports == 0 {
        return None;
    }
    let pairs = u64::from(backend.source_count) * u64::from(first.ports);
    let draws = turn.wrapping_add(ahead(attempt, pairs));
    let (index, port) = draw(draws, backend.source_count, first.ports);
    let source = SNAT_SOURCES.get(backend.sources + index)?;
    let port = source.first_port.wrapping_add(port);
    Some(FlowKey::tcp(
        unmapped(source.address),
        port.to_be_bytes(),
        unmapped(backend.address),
        backend.port,
    ))
}
