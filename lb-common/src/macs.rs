//! The MAC addresses that frames to us have: those of our interfaces, and those that they were given.
//!
//! A small hash table that one side writes and the other only reads: four addresses share a slot.

use bytemuck::{Pod, Zeroable};

pub const SLOTS: u32 = 256;

const EACH: usize = 4;

/// Addresses whose slot it is; 0: none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Slot([u64; EACH]);

/// The slot of an address.
#[must_use]
#[inline(always)]
pub const fn slot_of(mac: [u8; 6]) -> u32 {
    // The uppermost bits of the product with the golden ratio: neighbours fall far from each other.
    (word(mac).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SLOTS.ilog2())) as u32
}

impl Slot {
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, mac: [u8; 6]) -> bool {
        let word = word(mac);
        let [a, b, c, d] = self.0;
        a == word || b == word || c == word || d == word
    }

    /// Takes an address in. False if the slot is full.
    #[must_use]
    pub fn add(&mut self, mac: [u8; 6]) -> bool {
        if self.has(mac) {
            return true;
        }
        let Some(free) = self.0.iter_mut().find(|place| **place == 0) else { return false };
        *free = word(mac);
        true
    }
}

/// Whether an address is a group's: IEEE 802, the lowest bit of the first byte.
#[must_use]
#[inline(always)]
pub const fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}

/// In parts that are loaded at once each, as compilers do not find them in six bytes. Never 0.
#[inline(always)]
const fn word([a, b, c, d, e, f]: [u8; 6]) -> u64 {
    u32::from_le_bytes([a, b, c, d]) as u64 | (u32::from_le_bytes([e, f, 1, 0]) as u64) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_what_it_was_given() {
        let mut slot = Slot::default();
        let mac = |n| [0, 0, 0x5e, 0, n, 7];
        assert!(!slot.has([0; 6]));
        for n in 0..4 {
            assert!(slot.add(mac(n)) && slot.add(mac(n)));
        }
        assert!((0..4).all(|n| slot.has(mac(n))));
        assert!(!slot.has(mac(4)) && !slot.add(mac(4)));
    }
}
