//! Whose turn it is.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use lb_common::{backend::Backend, limits, service::Service};

use crate::raw::ticket;

/// Backend ids, in the order of their turns; see [`lb_common::ring::Ring`].
#[btf_map]
static RINGS: Array<u32, { limits::RING_SLOTS as usize }> = Array::new();

/// Connections that each service has had, by service id.
#[btf_map]
static RING_TURNS: Array<u64, { limits::SERVICES as usize }> = Array::new();

#[btf_map]
static BACKENDS: Array<Backend, { limits::BACKENDS as usize }> = Array::new();

/// The id of the backend that takes the service's next connection.
#[inline(always)]
pub(crate) fn next(service: &Service) -> Option<u32> {
    let turn = ticket(RING_TURNS.get_ptr_mut(service.id)?);
    let slot = service.ring.slot(turn)?;
    RINGS.get(slot).copied().filter(|id| *id != 0)
}

#[inline(always)]
pub(crate) fn backend(id: u32) -> Option<&'static Backend> {
    BACKENDS.get(id)
}
