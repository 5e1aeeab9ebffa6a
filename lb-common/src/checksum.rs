//! The Internet checksum and its incremental update: RFC 1071, and equation 3 of RFC 1624.
//!
//! Sums are over 16-bit words in native byte order; RFC 1071, section 2(B), shows that the result
//! is the same.

use bytemuck::{Pod, Zeroable};

/// The amount to add to a checksum when some of the words that it covers change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta(u32);

impl Delta {
    pub const NONE: Self = Self(0);

    /// Decrement of the time to live: the word {ttl, protocol} falls by {1, 0}.
    pub const TTL_DECREMENT: Self = Self(!u16::from_ne_bytes([1, 0]) as u32);

    #[must_use]
    pub const fn port(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + !u16::from_ne_bytes(old) as u32 + u16::from_ne_bytes(new) as u32)
    }

    #[must_use]
    pub const fn address(self, old: [u8; 4], new: [u8; 4]) -> Self {
        self.port([old[0], old[1]], [new[0], new[1]]).port([old[2], old[3]], [new[2], new[3]])
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Returns the same change in sixteen bits.
    #[must_use]
    pub const fn folded(self) -> Folded {
        Folded(fold(self.0))
    }

    /// Returns the checksum field after the change.
    #[must_use]
    pub const fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = !u16::from_ne_bytes(checksum) as u32 + self.0;
        (!fold(sum)).to_ne_bytes()
    }
}

/// A [`Delta`] in the form that is stored.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Folded(u16);

impl Folded {
    /// Returns the checksum field after the change.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the carry of two such words is one bit")]
    pub const fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = !u16::from_ne_bytes(checksum) as u32 + self.0 as u32;
        (!(sum + (sum >> 16)) as u16).to_ne_bytes()
    }
}

/// Returns the checksum field of words whose own checksum field is zero.
#[must_use]
pub const fn of_words<const N: usize>(words: &[[u8; 2]; N], initial: u32) -> [u8; 2] {
    let mut sum = initial;
    let mut i = 0;
    while i < N {
        sum += u16::from_ne_bytes(words[i]) as u32;
        i += 1;
    }
    (!fold(sum)).to_ne_bytes()
}

/// Returns the sum over TCP's IPv4 pseudo-header (RFC 9293, section 3.1), not folded.
#[must_use]
pub const fn tcp_pseudo_header(src: [u8; 4], dst: [u8; 4], tcp_length: u16) -> u32 {
    u16::from_ne_bytes([src[0], src[1]]) as u32
        + u16::from_ne_bytes([src[2], src[3]]) as u32
        + u16::from_ne_bytes([dst[0], dst[1]]) as u32
        + u16::from_ne_bytes([dst[2], dst[3]]) as u32
        + u16::from_ne_bytes([0, crate::wire::PROTO_TCP]) as u32
        + tcp_length.to_be() as u32
}

/// Valid for sums of up to 65,537 words: two rounds absorb any carry.
const fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "two rounds leave sixteen bits")]
    let folded = twice as u16;
    folded
}
