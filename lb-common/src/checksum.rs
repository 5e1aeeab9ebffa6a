//! The Internet checksum and its incremental update: RFC 1071, and equation 3 of RFC 1624.
//!
//! Sums are over 16-bit words in native byte order; RFC 1071, section 2(B), shows that the result
//! is the same.

/// The amount to add to a checksum when some of the words that it covers change. Valid for up to seven
/// changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    pub const NONE: Self = Self(0);

    /// Decrement of the time to live: the word {ttl, protocol} falls by {1, 0}.
    pub const TTL_DECREMENT: Self = Self(!u16::from_ne_bytes([1, 0]) as u64);

    #[must_use]
    #[inline(always)]
    pub const fn port(self, old: [u8; 2], new: [u8; 2]) -> Self {
        Self(self.0 + !u16::from_ne_bytes(old) as u64 + u16::from_ne_bytes(new) as u64)
    }

    #[must_use]
    #[inline(always)]
    pub const fn address(self, old: [u8; 4], new: [u8; 4]) -> Self {
        self.words(u32::from_ne_bytes(old), u32::from_ne_bytes(new))
    }

    /// Changes two adjacent words at once: 2^16 counts as much as 1.
    #[must_use]
    #[inline(always)]
    pub const fn words(self, old: u32, new: u32) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Returns the checksum field after the change.
    #[must_use]
    #[inline(always)]
    pub const fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        let sum = !u16::from_ne_bytes(checksum) as u64 + self.0;
        (!fold(sum)).to_ne_bytes()
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
    (!fold(sum as u64)).to_ne_bytes()
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

/// Valid for sums of less than 2^36: the first round leaves at most 2^20 + 2^16, the second 2^16 + 15,
/// whose carry the last one adds.
#[inline(always)]
const fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "sixteen bits are left")]
    let folded = (sum + (sum >> 16)) as u16;
    folded
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn sums_are_folded_as_by_division() {
        let borders = (0..36).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let carries = (1..=1 << 20).map(|high: u64| (high << 16) - 1);
        for sum in borders.chain(carries) {
            let folded = u64::from(fold(sum));
            assert_eq!(folded % 0xffff, sum % 0xffff, "{sum:#x}");
            assert_eq!(folded == 0, sum == 0, "{sum:#x}");
        }
    }
}
