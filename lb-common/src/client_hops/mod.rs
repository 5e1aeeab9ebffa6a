//! Next hops to clients, by index: a flow's entry has no room for more than that.
//!
//! A new connection looks its hop up, in some slots that depend on the hop, and claims a free slot if
//! it is in none. Two CPUs that do so at once may claim two slots for one hop, which does no harm. Sweeps
//! of the flow table free slots in two passes: the first one to find a slot unused retires it, so that
//! new connections keep it only if they take it back; the next one, at least a packet's processing time
//! later, frees it.

#[cfg(target_has_atomic = "64")]
mod shared;

use bytemuck::{Pod, Zeroable};

#[cfg(target_has_atomic = "64")]
pub use self::shared::{SharedSlot, SharedSlots};
use crate::{
    backend::Hop,
    halves::{high, low},
    limits::CLIENT_HOP_BITS,
    mix::mix,
};

/// Number of slots. The first one is never used: its index says that there is no slot.
pub const SLOTS: u32 = 1 << CLIENT_HOP_BITS;

/// The index of no slot.
pub const NO_SLOT: u32 = 0;

/// Number of slots that a hop may be in.
const PROBES: u32 = 32;

/// A slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PlainSlot {
    pub state: u64,
    pub hop: Hop,
    pub reserved: u64,
}

const _: () = assert!(size_of::<PlainSlot>() == 32);

/// States of a slot.
pub const FREE: u64 = 0;
/// A CPU is writing the hop.
const CLAIMED: u64 = 1;
const LIVE: u64 = 2;
/// No flow referred to the slot when it was looked for.
const RETIRED: u64 = 3;

/// Access to a slot.
pub trait Slot: Copy {
    /// Reads the state. No later read of the slot happens before.
    fn state(self) -> u64;

    /// Compares and swaps, as a full barrier. Returns the former state, which is `from` on success.
    fn exchange(self, from: u64, to: u64) -> u64;

    /// Sets the state of a claimed slot, after everything written to it.
    fn publish(self, state: u64);

    fn hop(self) -> Hop;

    /// Requires that the caller has claimed the slot.
    fn write(self, hop: Hop);
}

/// Access to all slots.
pub trait Slots: Copy {
    type Slot: Slot;

    /// Returns a random number of this host, so that nobody outside can aim at a slot.
    fn seed(self) -> u64;

    fn slot(self, index: u32) -> Option<Self::Slot>;
}

/// Returns the index of a slot with this hop; [`NO_SLOT`] if all that it may be in hold others.
#[inline(always)]
pub fn index_of<T: Slots>(slots: T, hop: Hop) -> u32 {
    let (start, stride) = probes_of(hop, slots.seed());
    for step in 0..PROBES {
        let index = (start + step * stride) % SLOTS;
        let Some(slot) = slots.slot(index) else { return NO_SLOT };
        if is_of(slot, hop) {
            return index;
        }
    }
    for step in 0..PROBES {
        let index = (start + step * stride) % SLOTS;
        let Some(slot) = slots.slot(index) else { return NO_SLOT };
        if index != NO_SLOT && slot.state() == FREE && slot.exchange(FREE, CLAIMED) == FREE {
            slot.write(hop);
            slot.publish(LIVE);
            return index;
        }
    }
    NO_SLOT
}

/// Returns the first slot that a hop may be in, and the distance to each next one: odd, so that all differ.
#[inline(always)]
const fn probes_of(hop: Hop, seed: u64) -> (u32, u32) {
    let [first, rest] = hop.words();
    let random = mix(mix(first ^ seed) ^ rest);
    (low(random) % SLOTS, (high(random) % SLOTS) | 1)
}

/// Returns true if a slot has this hop, for new connections as well.
#[inline(always)]
fn is_of(slot: impl Slot, hop: Hop) -> bool {
    let state = slot.state();
    if state != LIVE && state != RETIRED || slot.hop() != hop {
        return false;
    }
    if state == LIVE {
        return true;
    }
    match slot.exchange(RETIRED, LIVE) {
        RETIRED => true,
        // Another CPU was faster, or the slot was freed and given to another hop.
        LIVE => slot.hop() == hop,
        _ => false,
    }
}

/// Retires and frees the slots that no flow refers to, as a sweep has found: `used` has a value for each
/// slot. Called after each sweep that has seen all flows.
pub fn release_unused<T: Slots>(slots: T, used: &[bool]) {
    for (index, used) in (0..).zip(used) {
        let Some(slot) = slots.slot(index) else { return };
        let state = slot.state();
        let to = match (state, used) {
            (LIVE, false) => RETIRED,
            (RETIRED, false) => FREE,
            (RETIRED, true) => LIVE,
            _ => continue,
        };
        // If a new connection was faster, it keeps the slot.
        slot.exchange(state, to);
    }
}
