//! Rings: arrays of backend ids, whose order and frequency determine each backend's share.

use bytemuck::{Pod, Zeroable};

/// Slots in one value of the arena. Values are at least eight bytes apart, so two slots share one.
pub type Slots = [u32; 2];

pub const SLOTS: u32 = 2;

/// A region of the arena of ring slots. Eight aligned bytes, so that it changes in one store.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ring {
    pub offset: u32,
    /// 0: no backend takes connections.
    pub length: u32,
}

impl Ring {
    /// Returns the arena slot of the `turn`-th connection, or `None` if the ring is empty. When the turns
    /// wrap, after 2^32 connections, the ring starts from its first slot.
    #[must_use]
    pub const fn slot(self, turn: u32) -> Option<u32> {
        if self.length == 0 {
            return None;
        }
        Some(self.offset + turn % self.length)
    }

    /// Returns the arena slot at `part` / 2^32 of the ring, or `None` if the ring is empty.
    #[must_use]
    #[inline(always)]
    pub const fn slot_at(self, part: u32) -> Option<u32> {
        if self.length == 0 {
            return None;
        }
        Some(self.offset + scaled(part, self.length))
    }

    /// Returns the slot after this one, or the first one after the last.
    #[must_use]
    #[inline(always)]
    pub const fn slot_after(self, slot: u32) -> u32 {
        let next = slot.wrapping_add(1);
        if next.wrapping_sub(self.offset) < self.length { next } else { self.offset }
    }

    /// As [`Self::slot_at`], over the slots other than this one, starting after it.
    #[must_use]
    #[inline(always)]
    pub const fn slot_beside(self, slot: u32, part: u32) -> Option<u32> {
        if self.length < 2 {
            return None;
        }
        let index = slot.wrapping_sub(self.offset) + 1 + scaled(part, self.length - 1);
        let wrapped = if index < self.length { index } else { index - self.length };
        Some(self.offset + wrapped)
    }
}

/// Returns `part` / 2^32 of `whole`.
#[inline(always)]
const fn scaled(part: u32, whole: u32) -> u32 {
    ((part as u64 * whole as u64) >> 32) as u32
}
