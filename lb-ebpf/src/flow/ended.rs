//! Ends of connections that the program removes, for the connection log. Those that the control plane removes,
//! as it does most, it logs itself.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    ended::{Cause, Ended, Ending, RING_BYTES, Wanted, has_begun},
    rate_limiter::RateLimiter,
    stats::Incident,
    table::{self, Entry as _, Index, Tag},
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
static ENDING: PerCpuArray<Ending, 1> = PerCpuArray::new();

/// Set by the daemon.
#[btf_map]
static ENDS_WANTED: Array<Wanted, 1> = Array::new();

#[btf_map]
static ENDS_TOLD: PerCpuArray<RateLimiter, 1> = PerCpuArray::new();

/// Index of no entry: no table has so many.
const NONE: u32 = u32::MAX;

/// Notes the connection of the flow with this tag at this index, which is about to be removed: afterwards, the
/// entry may be another one's.
///
/// In steps without results, as the caller has no room for these on the stack.
#[inline(always)]
pub(super) fn note(index: Index, tag: Tag) {
    if !IS_DRY {
        ended_note(index.0, tag.word(), ended_partner(index.0, tag.word()));
    }
}

/// Tells the daemon of the end of the connection that was noted last, and was removed.
#[inline(always)]
pub(super) fn tell(cause: Cause) {
    if !IS_DRY {
        ended_tell(cause as u32);
    }
}

#[inline(always)]
fn is_wanted(tag: Tag) -> bool {
    let Some(Wanted { each, unbegun }) = wanted() else { return false };
    each != 0 && (unbegun != 0 || has_begun(tag.flags_seen()))
}

#[inline(always)]
fn wanted() -> Option<Wanted> {
    ENDS_WANTED.get_ptr(0).map(raw::copied)
}

global! {
    /// Returns the index of the other entry.
    fn ended_partner(index: u32, tag: u64) -> u32 {
        if !is_wanted(Tag::from_word(tag)) {
            return NONE;
        }
        let partner = hit(index, tag).and_then(|hit| table::partner(Flows, hit));
        partner.map_or(NONE, |partner| partner.index.0)
    }

    fn ended_note(index: u32, tag: u64, partner: u32) -> u32 {
        let Some(ending) = ENDING.get_ptr_mut(0).map(of_this_cpu) else { return 0 };
        ending.is_noted = 0;
        let Some(flow) = hit(index, tag).filter(|_| is_wanted(Tag::from_word(tag))) else {
            return 0;
        };
        let partner = table::at(Flows, Index(partner))
            .filter(|other| other.entry.pair().is_same(flow.entry.pair()));
        ending.is_noted = ending.ended.fill(Flows, flow, partner, accounts::of).into();
        0
    }

    fn ended_tell(cause: u32) -> u32 {
        let (Some(ending), Some(told), Some(Wanted { each, .. })) =
            (ENDING.get_ptr_mut(0), ENDS_TOLD.get_ptr_mut(0), wanted())
        else {
            return 0;
        };
        let Ending { ended, is_noted } = of_this_cpu(ending);
        if *is_noted == 0 {
            return 0;
        }
        *is_noted = 0;
        ended.cause = cause;
        ended.removed = super::now();
        if !of_this_cpu(told).take(raw::now(), each) || ENDED.output(&*ended, 0).is_err() {
            stats::incident(Incident::NotLogged);
        }
        0
    }
}
