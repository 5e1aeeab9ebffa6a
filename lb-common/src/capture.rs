//! Packets that `xdplb trace` records, with what the program did to them.

use bytemuck::{Pod, Zeroable};

use crate::trail::Trail;

/// Bytes recorded of a frame: all headers, and the first data.
pub const SNAP: usize = 256;

/// Size of the ring buffer in bytes.
pub const RING_BYTES: u32 = 4 << 20;

/// A packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Record {
    pub trail: Trail,
    /// Time in nanoseconds of the monotonic clock.
    pub time: u64,
    /// The frame's first bytes as it came in, and as it left the program.
    pub frames: [[u8; SNAP]; 2],
}

const _: () = assert!(size_of::<Record>() == 600);

/// What an address and a port must be for a packet to be recorded. By default anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// IPv4 as IPv4-mapped, in words of the order of bytes in packets.
    address: [u64; 2],
    /// The bits that must be equal.
    mask: [u64; 2],
    /// In the order of bytes in packets. Any port, if 0.
    port: u64,
}

impl Wanted {
    /// Returns the words of an address, IPv4 as IPv4-mapped.
    #[inline(always)]
    const fn words(address: [u8; 16]) -> [u64; 2] {
        let (words, _) = address.as_chunks();
        [u64::from_ne_bytes(words[0]), u64::from_ne_bytes(words[1])]
    }

    /// Wants addresses that begin with these bits, of 128.
    #[must_use]
    pub fn prefix(address: [u8; 16], bits: u32) -> Self {
        let ones = u128::MAX.checked_shl(u128::BITS - bits).unwrap_or(0);
        Self { address: Self::words(address), mask: Self::words(ones.to_be_bytes()), port: 0 }
    }

    /// Wants this port only.
    #[must_use]
    pub fn with_port(self, port: [u8; 2]) -> Self {
        Self { port: u16::from_ne_bytes(port).into(), ..self }
    }

    /// Returns the words of which [`Self::from_words`] makes the same.
    #[must_use]
    pub const fn as_words(self) -> [u64; 5] {
        let Self { address, mask, port } = self;
        [address[0], address[1], mask[0], mask[1], port]
    }

    #[must_use]
    #[inline(always)]
    pub const fn from_words([first, last, first_mask, last_mask, port]: [u64; 5]) -> Self {
        Self { address: [first, last], mask: [first_mask, last_mask], port }
    }

    /// Returns true if an address and a port are wanted.
    #[must_use]
    #[inline(always)]
    pub const fn has(&self, address: [u8; 16], port: [u8; 2]) -> bool {
        let [first, last] = Self::words(address);
        let is_address = first & self.mask[0] == self.address[0] & self.mask[0]
            && last & self.mask[1] == self.address[1] & self.mask[1];
        is_address && (self.port == 0 || self.port == u16::from_ne_bytes(port) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapped;

    #[test]
    fn prefixes_and_endpoints_are_told_apart() {
        let of = |last| mapped([198, 51, 100, last]);
        let port = 80_u16.to_be_bytes();
        let network = Wanted::prefix(of(0), 96 + 24);
        assert!(network.has(of(7), port) && !network.has(mapped([198, 51, 101, 7]), port));
        assert!(Wanted::prefix(of(0), 0).has([0xff; 16], port), "everything");
        let one = Wanted::prefix(of(7), 128).with_port(port);
        assert!(one.has(of(7), port) && !one.has(of(8), port) && !one.has(of(7), [80, 0]));
        assert_eq!(Wanted::from_words(one.as_words()), one);
        assert!(Wanted::default().has(of(7), port), "everything");
    }
}
