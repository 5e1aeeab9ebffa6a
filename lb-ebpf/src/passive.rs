//! Passive health checks: refusals by backends, and signs of life.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{backend::Backend, event, event::Kind, limits};

use crate::{events, raw};

/// Handshakes that each backend has refused in a row, by backend id. The daemon sets it to 0 when a
/// check contradicts it, and below 0 if refusals were a false alarm: SYNs made to be refused must
/// not eject a backend.
#[btf_map]
static REFUSALS: Array<u64, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Value of [`Backend::left`] when a backend was last heard of after it left, by id.
#[btf_map]
static HEARD: Array<u32, { limits::BACKENDS as usize }> = Array::new();

const THRESHOLD: i64 = event::REFUSALS as i64;

#[inline(always)]
const fn signed(count: u64) -> i64 {
    count.cast_signed()
}

/// Returns true if new connections should skip a backend, as it refuses them.
#[inline(always)]
pub(crate) fn refuses(backend: u32) -> bool {
    REFUSALS.get_ptr_mut(backend).is_some_and(|count| signed(raw::word(count)) >= THRESHOLD)
}

/// Records that a backend has refused a handshake.
#[inline(always)]
pub(crate) fn refused(backend: u32) {
    let Some(count) = REFUSALS.get_ptr_mut(backend) else { return };
    if signed(raw::ticket(count)) + 1 == THRESHOLD {
        events::of_backend(Kind::Refusing, backend);
    }
}

/// Records that a backend has accepted a handshake.
#[inline(always)]
pub(crate) fn answered(backend: u32) {
    let Some(count) = REFUSALS.get_ptr_mut(backend) else { return };
    if signed(raw::word(count)) > 0 {
        raw::set_word(count, 0);
    }
}

/// Records a packet of a backend that has left its ring.
#[inline(always)]
pub(crate) fn heard(id: u32, backend: &Backend) {
    let Some(when) = HEARD.get_ptr_mut(id) else { return };
    if raw::word(when) != backend.left {
        raw::set_word(when, backend.left);
    }
}

/// Returns true if a backend has left its ring and was not heard of since.
#[inline(always)]
pub(crate) fn is_silent(id: u32, backend: &Backend) -> bool {
    let is_heard = || HEARD.get_ptr_mut(id).is_some_and(|when| raw::word(when) == backend.left);
    backend.left != 0 && !is_heard()
}
