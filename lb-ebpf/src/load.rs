//! Load of backends.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{backend::Backend, limits, schedule::is_busier};

use crate::{backends, raw};

/// Number of connections that are not closed, by backend id, in lanes: the first one is common to all CPUs,
/// each CPU has one of the others. The daemon adds them up, and corrects the first one after each sweep of
/// the flow table. Sized by the loader.
#[btf_map]
static ACTIVE: Array<i64, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Adds to the number of a backend's connections: by a locked operation only if a scheduler reads the
/// number.
#[inline(always)]
pub(crate) fn add(id: u32, change: i64) {
    if backends::get(id).is_some_and(|backend| backend.is_compared != 0) {
        if let Some(count) = ACTIVE.get_ptr_mut(id) {
            raw::add(count, change);
        }
        return;
    }
    let lane = 1 + raw::cpu();
    if let Some(count) = ACTIVE.get_ptr_mut(lane * raw::active_lane() + id) {
        raw::set_word(count, raw::word(count) + change);
    }
}

/// Returns true if the first backend, with its id, has more load for its weight than the other one.
#[inline(always)]
pub(crate) fn is_more(one: (u32, &Backend), other: (u32, &Backend)) -> bool {
    is_busier(of(one.0), one.1.weight, of(other.0), other.1.weight)
}

#[inline(always)]
fn of(backend: u32) -> u32 {
    let active = ACTIVE.get(backend).copied().unwrap_or_default();
    // Below zero for a moment, if a connection ends before its start was counted.
    u32::try_from(active).unwrap_or_default()
}
