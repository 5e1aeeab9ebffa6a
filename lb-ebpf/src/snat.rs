//! Selection of a connection's source address and port.

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};
use lb_common::{
    backend::Backend,
    flow::FlowKey,
    halves::low,
    limits,
    snat::{Source, Stretch, drawn},
    unmapped,
};

use crate::{backends, raw};

/// The sources of all backends; each backend names a region.
#[btf_map]
static SNAT_SOURCES: Array<Source, { limits::SNAT_SOURCES as usize }> = Array::new();

/// Number of source ports drawn for each backend, by backend id.
#[btf_map]
static SNAT_TURNS: Array<u64, { limits::BACKENDS as usize }> = Array::new();

/// This CPU's part of those numbers, by backend id.
#[btf_map]
static SNAT_STRETCHES: PerCpuArray<Stretch, { limits::BACKENDS as usize }> = PerCpuArray::new();

/// Returns the number of a backend's next draw.
#[inline(always)]
pub(crate) fn next_draw(id: u32, now: u32) -> Option<u32> {
    let mut copy = None;
    let stretch = raw::changeable(SNAT_STRETCHES.get_ptr_mut(id)?, &mut copy);
    let turns = SNAT_TURNS.get_ptr_mut(id)?;
    if let Some(draw) = stretch.draw(now, || low(raw::word(turns))) {
        return Some(draw);
    }
    let length = stretch.length(pairs(id)?);
    Some(stretch.begin(raw::tickets(turns, length.into()), length))
}

/// Skips this many of a backend's next draws.
#[inline(always)]
pub(crate) fn skip(id: u32, draws: u32) {
    let Some(stretch) = SNAT_STRETCHES.get_ptr_mut(id) else { return };
    let others = raw::changeable(stretch, &mut None).skip(draws);
    if others == 0 {
        return;
    }
    if let Some(turns) = SNAT_TURNS.get_ptr_mut(id) {
        raw::tickets(turns, others.into());
    }
}

/// Returns the number of a backend's pairs of source address and port, or `None` if it has none.
#[inline(always)]
pub(crate) fn pairs(id: u32) -> Option<u32> {
    let backend = backends::get(id)?;
    let pairs = backend.source_count * u32::from(SNAT_SOURCES.get(backend.sources)?.ports);
    (pairs > 0).then_some(pairs)
}

/// Returns the tuple of packets to a backend with the source of this draw.
#[inline(always)]
pub(crate) fn outside(backend: &Backend, draw: u32) -> Option<FlowKey> {
    let first = SNAT_SOURCES.get(backend.sources)?;
    if backend.source_count == 0 || first.ports == 0 {
        return None;
    }
    let (index, port) = drawn(draw, backend.source_count, first.ports);
    let source = SNAT_SOURCES.get(backend.sources + index)?;
    let port = source.first_port.wrapping_add(port);
    Some(FlowKey::tcp(
        unmapped(source.address),
        port.to_be_bytes(),
        unmapped(backend.address),
        backend.port,
    ))
}
