//! Ends of connections that the program removes, for the connection log. Those that the control plane removes,
//! as it does most, it logs itself.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    ended::{Cause, Ended, RING_BYTES, Wanted, has_begun},
    rate_limiter::RateLimiter,
    stats::Incident,
    table::{Index, Tag},
};

use super::{map::Flows, steps::hit};
use crate::{
    accounts,
    global::global,
    raw::{self, of_this_cpu},
    stats,
    variant::IS_DRY,
};

#[btf_map]
static ENDED: RingBuf<Ended, { RING_BYTES as usize }> = RingBuf::new();

/// The connection that this CPU is about to remove.
#[btf_map]
static ENDING: PerCpuArray<Ended, 1> = PerCpuArray::new();

/// Set by the daemon.
#[btf_map]
static ENDS_WANTED: Array<Wanted, 1> = Array::new();

#[btf_map]
static ENDS_TOLD: PerCpuArray<RateLimiter, 1> = PerCpuArray::new();

/// Removes the connection of the flow with this tag at this index, and tells the daemon of its end.
#[inline(always)]
pub(super) fn told(index: Index, tag: Tag, cause: Cause, remove: impl FnOnce() -> bool) -> bool {
    // Before the removal, as the entry is another connection's then.
    let is_told = is_wanted(tag) && ended_note(index.0, tag.word()) != 0;
    let is_removed = remove();
    if is_told && is_removed {
        ended_tell(cause as u32);
    }
    is_removed
}

#[inline(always)]
fn is_wanted(tag: Tag) -> bool {
    let Some(wanted) = wanted() else { return false };
    wanted.each != 0 && (wanted.unbegun != 0 || has_begun(tag.flags_seen()))
}

#[inline(always)]
fn wanted() -> Option<Wanted> {
    if IS_DRY {
        return None;
    }
    ENDS_WANTED.get_ptr(0).map(raw::copied)
}

global! {
    fn ended_note(index: u32, tag: u64) -> u32 {
        let (Some(hit), Some(ended)) = (hit(index, tag), ENDING.get_ptr_mut(0)) else { return 0 };
        of_this_cpu(ended).fill(Flows, hit, accounts::of).into()
    }

    fn ended_tell(cause: u32) -> u32 {
        let (Some(ended), Some(told), Some(Wanted { each, .. })) =
            (ENDING.get_ptr_mut(0), ENDS_TOLD.get_ptr_mut(0), wanted())
        else {
            return 0;
        };
        let ended = of_this_cpu(ended);
        ended.cause = cause;
        ended.removed = super::now();
        if !of_this_cpu(told).take(raw::now(), each) || ENDED.output(&*ended, 0).is_err() {
            stats::incident(Incident::NotLogged);
        }
        0
    }
}
