use bytemuck::must_cast;

use super::{ADDRESS_FACTORS, Family, PairParts};
use crate::halves::{high, join, low};

/// IPv6: an address is two words. A connection with IPv6 on one side only has the other side's
/// addresses as IPv4-mapped ones, so that both of its entries are in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V6;

/// Words that are compared without a branch, where the compiler would call a loop over bytes.
#[derive(Clone, Copy, Debug, Eq, Hash)]
#[expect(clippy::derived_hash_with_manual_eq, reason = "equal words have equal hashes")]
pub struct Words<const N: usize>([u64; N]);

impl<const N: usize> PartialEq for Words<N> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).fold(0, |differing, (one, other)| differing | one ^ other) == 0
    }
}

impl<const N: usize> Default for Words<N> {
    #[inline(always)]
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> AsRef<[u64]> for Words<N> {
    #[inline(always)]
    fn as_ref(&self) -> &[u64] {
        &self.0
    }
}

impl<const N: usize> AsMut<[u64]> for Words<N> {
    #[inline(always)]
    fn as_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

impl Family for V6 {
    type Address = [u8; 16];
    /// Source, destination, as on the wire.
    type Addresses = Words<4>;
    /// The client's address, the source address, and, from the lowest bit on, ports and owner.
    type PairWords = Words<5>;

    #[inline(always)]
    fn addresses(src: [u8; 16], dst: [u8; 16]) -> Words<4> {
        let ([a, b], [c, d]): ([u64; 2], [u64; 2]) = (must_cast(src), must_cast(dst));
        Words([a, b, c, d])
    }

    #[inline(always)]
    fn src(Words([a, b, ..]): Words<4>) -> [u8; 16] {
        must_cast([a, b])
    }

    #[inline(always)]
    fn dst(Words([.., c, d]): Words<4>) -> [u8; 16] {
        must_cast([c, d])
    }

    #[inline(always)]
    fn turned(Words([a, b, c, d]): Words<4>) -> Words<4> {
        Words([c, d, a, b])
    }

    #[inline(always)]
    fn product(Words(words): Words<4>, factors: &[u64; ADDRESS_FACTORS]) -> u64 {
        let mut sum = 0_u64;
        for (index, word) in words.into_iter().enumerate() {
            let [one, other] = [low(word), high(word)].map(u64::from);
            sum = sum.wrapping_add(one.wrapping_mul(factors[2 * index]));
            sum = sum.wrapping_add(other.wrapping_mul(factors[2 * index + 1]));
        }
        sum
    }

    #[inline(always)]
    fn of_mapped(address: [u8; 16]) -> [u8; 16] {
        address
    }

    #[inline(always)]
    fn mapped(address: [u8; 16]) -> [u8; 16] {
        address
    }

    #[inline(always)]
    fn pair(parts: PairParts<Self>) -> Words<5> {
        let PairParts { client, source, ports, owner } = parts;
        let ([a, b], [c, d]): ([u64; 2], [u64; 2]) = (must_cast(client), must_cast(source));
        Words([a, b, c, d, join(ports, owner)])
    }

    #[inline(always)]
    fn client(Words([a, b, ..]): Words<5>) -> [u8; 16] {
        must_cast([a, b])
    }

    #[inline(always)]
    fn source(Words([_, _, c, d, _]): Words<5>) -> [u8; 16] {
        must_cast([c, d])
    }

    #[inline(always)]
    fn ports(Words([.., rest]): Words<5>) -> u32 {
        low(rest)
    }

    #[inline(always)]
    fn owner(Words([.., rest]): Words<5>) -> u32 {
        high(rest)
    }

    #[inline(always)]
    fn with_owner(Words([a, b, c, d, rest]): Words<5>, owner: u32) -> Words<5> {
        Words([a, b, c, d, join(low(rest), owner)])
    }
}
