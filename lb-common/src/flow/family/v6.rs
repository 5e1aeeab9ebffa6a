use bytemuck::must_cast;

use super::{ADDRESS_FACTORS, Family, PairParts};
use crate::halves::{high, join, low};

/// IPv6: an address is two words. A connection with IPv6 on one side only has the other side's
/// addresses as IPv4-mapped ones, so that both of its entries are in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V6;

impl Family for V6 {
    type Address = [u8; 16];
    /// Source, destination, as on the wire.
    type Addresses = [[u64; 2]; 2];
    /// The client's address, the source address, and, from the lowest bit on, ports and owner.
    type PairWords = [u64; 5];

    #[inline(always)]
    fn addresses(src: [u8; 16], dst: [u8; 16]) -> [[u64; 2]; 2] {
        [must_cast(src), must_cast(dst)]
    }

    #[inline(always)]
    fn src([src, _]: [[u64; 2]; 2]) -> [u8; 16] {
        must_cast(src)
    }

    #[inline(always)]
    fn dst([_, dst]: [[u64; 2]; 2]) -> [u8; 16] {
        must_cast(dst)
    }

    #[inline(always)]
    fn turned([src, dst]: [[u64; 2]; 2]) -> [[u64; 2]; 2] {
        [dst, src]
    }

    #[inline(always)]
    fn product([src, dst]: [[u64; 2]; 2], factors: &[u64; ADDRESS_FACTORS]) -> u64 {
        let words = [src[0], src[1], dst[0], dst[1]];
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
    fn pair(parts: PairParts<Self>) -> [u64; 5] {
        let PairParts { client, source, ports, owner } = parts;
        let ([a, b], [c, d]): ([u64; 2], [u64; 2]) = (must_cast(client), must_cast(source));
        [a, b, c, d, join(ports, owner)]
    }

    #[inline(always)]
    fn client([a, b, ..]: [u64; 5]) -> [u8; 16] {
        must_cast([a, b])
    }

    #[inline(always)]
    fn source([_, _, c, d, _]: [u64; 5]) -> [u8; 16] {
        must_cast([c, d])
    }

    #[inline(always)]
    fn ports([.., rest]: [u64; 5]) -> u32 {
        low(rest)
    }

    #[inline(always)]
    fn owner([.., rest]: [u64; 5]) -> u32 {
        high(rest)
    }

    #[inline(always)]
    fn with_owner([a, b, c, d, rest]: [u64; 5], owner: u32) -> [u64; 5] {
        [a, b, c, d, join(low(rest), owner)]
    }
}
