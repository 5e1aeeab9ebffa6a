use super::{ADDRESS_FACTORS, Family, PairParts};
use crate::{
    halves::{high, join, low},
    mapped, unmapped,
};

/// IPv4: an address is half a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct V4;

impl Family for V4 {
    type Address = [u8; 4];
    /// From the lowest bit on: source, destination, as on the wire.
    type Addresses = u64;
    /// In each, from the lowest bit on: the client's address and the ports; the source address and the
    /// owner.
    type PairWords = [u64; 2];

    #[inline(always)]
    fn addresses(src: [u8; 4], dst: [u8; 4]) -> u64 {
        join(u32::from_ne_bytes(src), u32::from_ne_bytes(dst))
    }

    #[inline(always)]
    fn src(addresses: u64) -> [u8; 4] {
        low(addresses).to_ne_bytes()
    }

    #[inline(always)]
    fn dst(addresses: u64) -> [u8; 4] {
        high(addresses).to_ne_bytes()
    }

    #[inline(always)]
    fn turned(addresses: u64) -> u64 {
        addresses.rotate_left(u32::BITS)
    }

    #[inline(always)]
    fn product(addresses: u64, factors: &[u64; ADDRESS_FACTORS]) -> u64 {
        let [src, dst] = [low(addresses), high(addresses)].map(u64::from);
        src.wrapping_mul(factors[0]).wrapping_add(dst.wrapping_mul(factors[1]))
    }

    #[inline(always)]
    fn of_mapped(address: [u8; 16]) -> [u8; 4] {
        unmapped(address)
    }

    #[inline(always)]
    fn mapped(address: [u8; 4]) -> [u8; 16] {
        mapped(address)
    }

    #[inline(always)]
    fn pair(parts: PairParts<Self>) -> [u64; 2] {
        let PairParts { client, source, ports, owner } = parts;
        [join(u32::from_ne_bytes(client), ports), join(u32::from_ne_bytes(source), owner)]
    }

    #[inline(always)]
    fn client([client, _]: [u64; 2]) -> [u8; 4] {
        low(client).to_ne_bytes()
    }

    #[inline(always)]
    fn source([_, server]: [u64; 2]) -> [u8; 4] {
        low(server).to_ne_bytes()
    }

    #[inline(always)]
    fn ports([client, _]: [u64; 2]) -> u32 {
        high(client)
    }

    #[inline(always)]
    fn owner([_, server]: [u64; 2]) -> u32 {
        high(server)
    }

    #[inline(always)]
    fn with_owner([client, server]: [u64; 2], owner: u32) -> [u64; 2] {
        [client, join(low(server), owner)]
    }
}
