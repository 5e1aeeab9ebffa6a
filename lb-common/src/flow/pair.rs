use super::{
    Direction,
    family::{Family, PairParts, V4},
    tuple::{Protocol, Tuple},
};
use crate::{
    halves::{high16, join16, low16},
    limits::{BACKEND_BITS, CLIENT_HOP_BITS},
};

/// The addresses and ports that all connections to a backend have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints<F: Family = V4> {
    pub vip: F::Address,
    pub vip_port: [u8; 2],
    pub backend: F::Address,
    pub backend_port: [u8; 2],
}

/// A backend, as far as tuples depend on it.
pub trait Ends<F: Family>: Copy {
    fn endpoints(self) -> Endpoints<F>;
}

impl<F: Family> Ends<F> for Endpoints<F> {
    #[inline(always)]
    fn endpoints(self) -> Self {
        self
    }
}

/// What both entries of a connection have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<F: Family = V4>(F::PairWords);

const _: () = assert!(BACKEND_BITS + CLIENT_HOP_BITS == u32::BITS);

impl<F: Family> Pair<F> {
    /// Returns the pair of a connection whose packets are `inside` on the client's side of the balancer, and
    /// `outside` on the backend's, with the [index](crate::client_hops) of the next hop to the client.
    #[must_use]
    #[inline(always)]
    pub fn new(inside: &Tuple<F>, outside: &Tuple<F>, backend: u32, hop: u32) -> Self {
        let (client, source) = (inside.src(), outside.src());
        let ports = join16(low16(inside.ports), low16(outside.ports));
        Self(F::pair(PairParts { client, source, ports, owner: owner(backend, hop) }))
    }

    /// Returns the pair of a connection whose backend answers the client itself: it has no source.
    #[must_use]
    #[inline(always)]
    pub fn one_way(inside: &Tuple<F>, backend: u32, hop: u32) -> Self {
        let (client, source) = (inside.src(), F::Address::default());
        let ports = join16(low16(inside.ports), 0);
        Self(F::pair(PairParts { client, source, ports, owner: owner(backend, hop) }))
    }

    #[must_use]
    #[inline(always)]
    pub const fn of_words(words: F::PairWords) -> Self {
        Self(words)
    }

    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> F::PairWords {
        self.0
    }

    #[must_use]
    #[inline(always)]
    pub fn backend(self) -> u32 {
        F::owner(self.0) & ((1 << BACKEND_BITS) - 1)
    }

    /// Returns the index of the next hop to the client.
    #[must_use]
    #[inline(always)]
    pub fn hop(self) -> u32 {
        F::owner(self.0) >> BACKEND_BITS
    }

    #[must_use]
    #[inline(always)]
    pub fn with_hop(self, hop: u32) -> Self {
        Self(F::with_owner(self.0, owner(self.backend(), hop)))
    }

    /// Returns the client's address.
    #[must_use]
    #[inline(always)]
    pub fn client(self) -> F::Address {
        F::client(self.0)
    }

    /// Returns the client's port and the source port, see [`PairParts`].
    #[must_use]
    #[inline(always)]
    pub fn ports(self) -> u32 {
        F::ports(self.0)
    }

    /// Returns true if both are of one connection, whatever their next hops to the client are.
    #[must_use]
    #[inline(always)]
    pub fn is_same(self, other: Self) -> bool {
        self.with_hop(0) == other.with_hop(0)
    }

    /// Returns the tuple of the client's packets on the client's side.
    #[must_use]
    #[inline(always)]
    pub fn inside(self, protocol: Protocol, ends: &Endpoints<F>) -> Tuple<F> {
        let addresses = F::addresses(F::client(self.0), ends.vip);
        let ports = join16(low16(F::ports(self.0)), u16::from_ne_bytes(ends.vip_port));
        Tuple::of_parts(protocol, addresses, ports)
    }

    /// Returns the tuple of the client's packets on the backend's side.
    #[must_use]
    #[inline(always)]
    pub fn outside(self, protocol: Protocol, ends: &Endpoints<F>) -> Tuple<F> {
        let addresses = F::addresses(F::source(self.0), ends.backend);
        let ports = join16(high16(F::ports(self.0)), u16::from_ne_bytes(ends.backend_port));
        Tuple::of_parts(protocol, addresses, ports)
    }

    /// Returns the tuple of packets in this direction when they arrive.
    #[must_use]
    #[inline(always)]
    pub fn key(self, protocol: Protocol, direction: Direction, ends: &Endpoints<F>) -> Tuple<F> {
        match direction {
            Direction::ToBackend => self.inside(protocol, ends),
            Direction::ToClient => self.outside(protocol, ends).turned(),
        }
    }

    /// Returns the tuple of packets in this direction when they leave.
    #[must_use]
    #[inline(always)]
    pub fn target(self, protocol: Protocol, direction: Direction, ends: &Endpoints<F>) -> Tuple<F> {
        match direction {
            Direction::ToBackend => self.outside(protocol, ends),
            Direction::ToClient => self.inside(protocol, ends).turned(),
        }
    }

    /// Returns the tuple of packets in the other direction when they arrive.
    #[must_use]
    #[inline(always)]
    pub fn partner(
        self,
        protocol: Protocol,
        direction: Direction,
        ends: &Endpoints<F>,
    ) -> Tuple<F> {
        self.target(protocol, direction, ends).turned()
    }
}

#[inline(always)]
const fn owner(backend: u32, hop: u32) -> u32 {
    backend | hop << BACKEND_BITS
}
