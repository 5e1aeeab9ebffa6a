//! Own MAC addresses: those of our interfaces, and of bridges, bonds and VRRP on top of them.
//!
//! A small hash table that one side writes and the other only reads: a slot holds four addresses.

use bytemuck::{Pod, Zeroable};

use crate::halves;

pub const SLOTS: u32 = 256;

const EACH: usize = 4;

/// Addresses in this slot; 0: none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Slot([u64; EACH]);

/// Returns the slot of an address.
#[must_use]
#[inline(always)]
pub const fn slot_of(mac: [u8; 6]) -> u32 {
    // The highest bits of the product with the golden ratio: neighbours fall far from each other.
    let product = word(mac).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    halves::high(product) >> (u32::BITS - SLOTS.ilog2())
}

impl Slot {
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, mac: [u8; 6]) -> bool {
        let word = word(mac);
        let [a, b, c, d] = self.0;
        a == word || b == word || c == word || d == word
    }

    /// Adds an address. Returns false if the slot is full.
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

/// Returns true for a group address: the lowest bit of the first byte is set (IEEE 802).
#[must_use]
#[inline(always)]
pub const fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}

/// Loads in two parts, as compilers do not combine single bytes themselves. Never 0.
#[inline(always)]
const fn word(mac: [u8; 6]) -> u64 {
    let first = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
    halves::join(first, u32::from_le_bytes([mac[4], mac[5], 1, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_fall_into_different_slots() {
        let slots = |mac: fn(u8) -> [u8; 6]| {
            let mut slots = [0; SLOTS as usize];
            (0..=u8::MAX).for_each(|n| slots[slot_of(mac(n)) as usize] += 1);
            slots.into_iter().max().expect("some")
        };
        assert!(slots(|n| [0, 0, 0x5e, 0, 1, n]) <= EACH / 2);
        assert!(slots(|n| [2, 0, 0, 0, n, 1]) <= EACH / 2);
        assert!(slots(|n| [0x52, 0x54, n, 0, n, n]) <= EACH);
    }

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
