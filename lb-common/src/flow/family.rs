//! Address families, as far as tuples and pairs depend on them.

mod v4;
mod v6;

pub use self::{v4::V4, v6::V6};

use core::{fmt::Debug, hash::Hash};

/// An address family. Everything else about flows is written once, for all of them.
pub trait Family: Copy + Debug + Default + Eq + Hash + 'static {
    /// An address as on the wire.
    type Address: Copy + Debug + Default + Eq;
    /// Source and destination of a tuple, in words that are compared at once.
    type Addresses: Copy + Debug + Default + Eq + Hash;
    /// A [`Pair`](super::Pair), in the words of a table's entry.
    type PairWords: Copy + Debug + Default + Eq;

    fn addresses(src: Self::Address, dst: Self::Address) -> Self::Addresses;
    fn src(addresses: Self::Addresses) -> Self::Address;
    fn dst(addresses: Self::Addresses) -> Self::Address;
    /// Returns destination, then source.
    fn turned(addresses: Self::Addresses) -> Self::Addresses;

    /// Returns the sum of the products of the addresses' 32-bit words with these factors.
    fn product(addresses: Self::Addresses, factors: &[u64; ADDRESS_FACTORS]) -> u64;

    /// Returns the address of one that is stored for either family, IPv4 as IPv4-mapped.
    fn of_mapped(address: [u8; 16]) -> Self::Address;
    /// Returns an address as it is stored for either family.
    fn mapped(address: Self::Address) -> [u8; 16];

    fn pair(parts: PairParts<Self>) -> Self::PairWords;
    fn client(pair: Self::PairWords) -> Self::Address;
    fn source(pair: Self::PairWords) -> Self::Address;
    /// Returns the ports of a pair, see [`PairParts`].
    fn ports(pair: Self::PairWords) -> u32;
    /// Returns the owner of a pair, see [`PairParts`].
    fn owner(pair: Self::PairWords) -> u32;
    fn with_owner(pair: Self::PairWords, owner: u32) -> Self::PairWords;
}

/// Number of factors that addresses of any family take.
pub const ADDRESS_FACTORS: usize = 8;

/// What a pair consists of.
#[derive(Clone, Copy, Debug)]
pub struct PairParts<F: Family> {
    pub client: F::Address,
    /// The source address of full NAT.
    pub source: F::Address,
    /// From the lowest bit on: the client's port and the source port, as on the wire.
    pub ports: u32,
    /// From the lowest bit on: the backend's id, and the index of the next hop to the client.
    pub owner: u32,
}
