//! A filter of destination addresses: a packet to an address outside it leaves before the flow
//! table lookup.
//!
//! A Bloom filter (B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM
//! 13, 1970) with one hash: the bit of an address is set if the address was ever a service's or a
//! source's, and for few others. Bits are never cleared, as connections outlive their service.

use crate::unmapped;

/// Number of bits: 8 KiB, which stay in a CPU's L1 cache.
const BITS: u32 = 1 << 16;

pub const WORDS: u32 = BITS / u64::BITS;

/// Returns the position of an address's bit: the word, and the bit in it.
#[must_use]
#[inline(always)]
pub const fn bit_of(address: [u8; 4]) -> (u32, u64) {
    // The upper half of the product with the golden ratio: neighbours fall far from each other.
    let place = u32::from_ne_bytes(address).wrapping_mul(0x9e37_79b9) >> 16;
    (place / u64::BITS, 1 << (place % u64::BITS))
}

/// As [`bit_of`], for an address in the IPv4-mapped form of the maps.
#[must_use]
pub const fn bit_of_mapped(address: [u8; 16]) -> (u32, u64) {
    bit_of(unmapped(address))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashSet;

    use super::{BITS, WORDS, bit_of};

    #[test]
    fn neighbours_share_no_bit() {
        let network = (0..=u16::MAX).map(u16::to_be_bytes).map(|[a, b]| bit_of([10, 0, a, b]));
        let bits: HashSet<_> = network.collect();
        assert!(bits.len() > BITS as usize / 2, "{} bits", bits.len());
        assert!(bits.iter().all(|(word, bit)| *word < WORDS && bit.is_power_of_two()));
    }
}
