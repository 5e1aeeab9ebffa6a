//! Addresses and ports of the tests' connections.

use lb_common::{
    flow::{Endpoints, Protocol, Tuple, V4, V6},
    mapped,
    table::SharedFamily,
};

pub const VIP: [u8; 4] = [203, 0, 113, 10];
pub const BACKEND: [u8; 4] = [10, 0, 0, 11];
pub const PORT: [u8; 2] = [0, 80];

/// A family in which the tests' connections may be.
pub trait TestFamily: SharedFamily {
    /// Returns an address on the clients' side, by an IPv4 address.
    fn outer(address: [u8; 4]) -> Self::Address;

    /// Returns an address on the backends' side, by an IPv4 address.
    fn inner(address: [u8; 4]) -> Self::Address;

    /// Returns the tuple of a client's packets to the VIP.
    fn inside(protocol: Protocol, client: [u8; 4], port: [u8; 2]) -> Tuple<Self> {
        Tuple::new(protocol, (Self::outer(client), port), (Self::outer(VIP), PORT))
    }

    /// Returns the tuple of packets from a source to every backend.
    fn outside(protocol: Protocol, source: [u8; 4], port: [u8; 2]) -> Tuple<Self> {
        Tuple::new(protocol, (Self::inner(source), port), (Self::inner(BACKEND), PORT))
    }

    /// Returns the endpoints of every backend.
    fn endpoints() -> Endpoints<Self> {
        let (vip, backend) = (Self::outer(VIP), Self::inner(BACKEND));
        Endpoints { vip, vip_port: PORT, backend, backend_port: PORT }
    }
}

impl TestFamily for V4 {
    fn outer(address: [u8; 4]) -> [u8; 4] {
        address
    }

    fn inner(address: [u8; 4]) -> [u8; 4] {
        address
    }
}

/// IPv6 clients and IPv4 backends.
impl TestFamily for V6 {
    fn outer([a, b, c, d]: [u8; 4]) -> [u8; 16] {
        [0x20, 1, 0xd, 0xb8, a, 0, 0, 0, 0, 0, 0, 0, 0, b, c, d]
    }

    fn inner(address: [u8; 4]) -> [u8; 16] {
        mapped(address)
    }
}
