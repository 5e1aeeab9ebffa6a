//! How busy backends are.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{backend::Backend, limits, schedule::is_busier};

use crate::raw;

/// Connections that are not closed, by backend id. The daemon corrects them after each sweep through
/// the flow table.
#[btf_map]
static ACTIVE: Array<i64, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Notes that a backend has so many connections more.
#[inline(always)]
pub(crate) fn add(backend: u32, change: i64) {
    if let Some(count) = ACTIVE.get_ptr_mut(backend) {
        raw::add(count, change);
    }
}

/// Whether a backend, by its id, has more to do for its weight than the other one.
#[inline(always)]
pub(crate) fn is_more(one: (u32, &Backend), other: (u32, &Backend)) -> bool {
    is_busier(of(one.0), one.1.weight, of(other.0), other.1.weight)
}

#[inline(always)]
fn of(backend: u32) -> u32 {
    let active = ACTIVE.get(backend).copied().unwrap_or_default();
    // Below zero for a moment, when a connection ends before its beginning was counted.
    u32::try_from(active).unwrap_or_default()
}
