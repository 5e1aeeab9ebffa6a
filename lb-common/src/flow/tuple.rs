use super::family::{Family, V4};
use crate::{
    halves::{high16, join16, low16},
    wire::{Headers, PROTO_TCP, PROTO_UDP},
};

/// The five-tuple of a packet, in words that are compared at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple<F: Family> {
    pub(super) addresses: F::Addresses,
    /// Source, then destination, as they stand on the wire.
    pub(super) ports: u32,
    pub(super) protocol: u32,
}

/// The tuple of an IPv4 packet.
pub type FlowKey = Tuple<V4>;

/// A transport protocol whose flows are tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Returns the number in an IP header.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => PROTO_TCP,
            Self::Udp => PROTO_UDP,
        }
    }
}

impl<F: Family> Tuple<F> {
    #[must_use]
    #[inline(always)]
    pub fn new(
        protocol: Protocol,
        (src, src_port): (F::Address, [u8; 2]),
        (dst, dst_port): (F::Address, [u8; 2]),
    ) -> Self {
        let ports = join16(u16::from_ne_bytes(src_port), u16::from_ne_bytes(dst_port));
        Self::of_parts(protocol, F::addresses(src, dst), ports)
    }

    #[inline(always)]
    pub(super) const fn of_parts(protocol: Protocol, addresses: F::Addresses, ports: u32) -> Self {
        Self { addresses, ports, protocol: protocol.number() as u32 }
    }

    #[must_use]
    #[inline(always)]
    pub fn tcp(src: F::Address, src_port: [u8; 2], dst: F::Address, dst_port: [u8; 2]) -> Self {
        Self::new(Protocol::Tcp, (src, src_port), (dst, dst_port))
    }

    /// The tuple of the packets that answer this one.
    #[must_use]
    #[inline(always)]
    pub fn turned(&self) -> Self {
        let (addresses, ports) = (F::turned(self.addresses), self.ports.rotate_left(16));
        Self { addresses, ports, ..*self }
    }

    #[must_use]
    #[inline(always)]
    pub fn src(&self) -> F::Address {
        F::src(self.addresses)
    }

    #[must_use]
    #[inline(always)]
    pub fn dst(&self) -> F::Address {
        F::dst(self.addresses)
    }

    #[must_use]
    #[inline(always)]
    pub const fn src_port(&self) -> [u8; 2] {
        low16(self.ports).to_ne_bytes()
    }

    #[must_use]
    #[inline(always)]
    pub const fn dst_port(&self) -> [u8; 2] {
        high16(self.ports).to_ne_bytes()
    }

    #[must_use]
    #[inline(always)]
    pub const fn protocol(&self) -> Protocol {
        if self.protocol == PROTO_UDP as u32 { Protocol::Udp } else { Protocol::Tcp }
    }

    /// Addresses and ports, as arguments of a global function.
    #[must_use]
    #[inline(always)]
    pub const fn as_words(&self) -> (F::Addresses, u32) {
        (self.addresses, self.ports)
    }

    /// The TCP tuple of [`Self::as_words`].
    #[must_use]
    #[inline(always)]
    pub const fn of_words(addresses: F::Addresses, ports: u32) -> Self {
        Self::of_parts(Protocol::Tcp, addresses, ports)
    }

    /// Returns the sum of the products of the tuple's 32-bit words with these factors.
    #[inline(always)]
    pub(crate) fn product(&self, factors: &[u64; FACTORS]) -> u64 {
        let [ports, protocol, addresses @ ..] = factors;
        F::product(self.addresses, addresses)
            .wrapping_add(u64::from(self.ports).wrapping_mul(*ports))
            .wrapping_add(u64::from(self.protocol).wrapping_mul(*protocol))
    }
}

/// Number of factors that tuples of any family take.
pub const FACTORS: usize = 2 + super::family::ADDRESS_FACTORS;

impl FlowKey {
    #[must_use]
    #[inline(always)]
    pub fn of(headers: &Headers) -> Self {
        Self::tcp(headers.ip.src, headers.tcp.src_port, headers.ip.dst, headers.tcp.dst_port)
    }
}

// The first of two neighbours in memory is the lower half of a word on every machine that XDP
// drivers exist for.
const _: () = assert!(cfg!(target_endian = "little"));
