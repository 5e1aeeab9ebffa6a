use bytemuck::{Pod, Zeroable};

use super::{Direction, FlowKey};
use crate::{
    halves::{high, high16, join, join16, low, low16},
    limits::{BACKEND_BITS, CLIENT_HOP_BITS},
};

/// The addresses and ports that all connections to a backend have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    pub vip: [u8; 4],
    pub vip_port: [u8; 2],
    pub backend: [u8; 4],
    pub backend_port: [u8; 2],
}

/// A backend, as far as tuples depend on it.
pub trait Ends: Copy {
    fn endpoints(self) -> Endpoints;
}

impl Ends for Endpoints {
    #[inline(always)]
    fn endpoints(self) -> Endpoints {
        self
    }
}

/// What both entries of a connection have in common.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Pair {
    /// From the lowest bit on: the client's address and port, and the source port, as on the wire.
    client: u64,
    /// From the lowest bit on: the source address, as on the wire; [`BACKEND_BITS`] of the backend's id;
    /// and [`CLIENT_HOP_BITS`] of the index of the next hop to the client.
    server: u64,
}

const _: () = assert!(u32::BITS + BACKEND_BITS + CLIENT_HOP_BITS == u64::BITS);

const HOP_SHIFT: u32 = u32::BITS + BACKEND_BITS;
const HOP: u64 = u64::MAX << HOP_SHIFT;

impl Pair {
    /// Returns the pair of a connection whose packets are `inside` on the client's side of the balancer, and
    /// `outside` on the backend's, with the [index](crate::client_hops) of the next hop to the client.
    #[must_use]
    #[inline(always)]
    pub const fn new(inside: &FlowKey, outside: &FlowKey, backend: u32, hop: u32) -> Self {
        let ports = join16(low16(inside.ports), low16(outside.ports));
        let server = join(low(outside.addresses), backend) | (hop as u64) << HOP_SHIFT;
        Self { client: join(low(inside.addresses), ports), server }
    }

    #[must_use]
    #[inline(always)]
    pub const fn of_words([client, server]: [u64; 2]) -> Self {
        Self { client, server }
    }

    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        [self.client, self.server]
    }

    #[must_use]
    #[inline(always)]
    pub const fn backend(self) -> u32 {
        high(self.server) & ((1 << BACKEND_BITS) - 1)
    }

    /// Returns the index of the next hop to the client.
    #[must_use]
    #[inline(always)]
    pub const fn hop(self) -> u32 {
        (self.server >> HOP_SHIFT) as u32
    }

    #[must_use]
    #[inline(always)]
    pub const fn with_hop(self, hop: u32) -> Self {
        Self { server: self.server & !HOP | (hop as u64) << HOP_SHIFT, ..self }
    }

    /// Returns the client's address.
    #[must_use]
    #[inline(always)]
    pub const fn client(self) -> [u8; 4] {
        low(self.client).to_ne_bytes()
    }

    /// Returns true if both are of one connection, whatever their next hops to the client are.
    #[must_use]
    #[inline(always)]
    pub const fn is_same(self, other: Self) -> bool {
        self.client == other.client && (self.server ^ other.server) & !HOP == 0
    }

    /// Returns the tuple of the client's packets on the client's side.
    #[must_use]
    #[inline(always)]
    pub const fn inside(self, ends: &Endpoints) -> FlowKey {
        let addresses = join(low(self.client), u32::from_ne_bytes(ends.vip));
        let ports = join16(low16(high(self.client)), u16::from_ne_bytes(ends.vip_port));
        FlowKey::of_words(addresses, ports)
    }

    /// Returns the tuple of the client's packets on the backend's side.
    #[must_use]
    #[inline(always)]
    pub const fn outside(self, ends: &Endpoints) -> FlowKey {
        let addresses = join(low(self.server), u32::from_ne_bytes(ends.backend));
        let ports = join16(high16(high(self.client)), u16::from_ne_bytes(ends.backend_port));
        FlowKey::of_words(addresses, ports)
    }

    /// Returns the tuple of packets in this direction when they arrive.
    #[must_use]
    #[inline(always)]
    pub const fn key(self, direction: Direction, ends: &Endpoints) -> FlowKey {
        match direction {
            Direction::ToBackend => self.inside(ends),
            Direction::ToClient => self.outside(ends).turned(),
        }
    }

    /// Returns the tuple of packets in this direction when they leave.
    #[must_use]
    #[inline(always)]
    pub const fn target(self, direction: Direction, ends: &Endpoints) -> FlowKey {
        match direction {
            Direction::ToBackend => self.outside(ends),
            Direction::ToClient => self.inside(ends).turned(),
        }
    }

    /// Returns the tuple of packets in the other direction when they arrive.
    #[must_use]
    #[inline(always)]
    pub const fn partner(self, direction: Direction, ends: &Endpoints) -> FlowKey {
        self.target(direction, ends).turned()
    }
}
