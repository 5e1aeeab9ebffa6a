use bytemuck::{Pod, Zeroable};

use crate::{
    halves::{high, high16, join, join16, low, low16},
    wire::{Headers, PROTO_TCP},
};

/// The five-tuple of a packet, in words that are compared at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKey {
    /// Source, then destination, in network byte order.
    pub(super) addresses: u64,
    /// Source, then destination, as they stand on the wire.
    pub(super) ports: u32,
    pub(super) protocol: u32,
}

impl FlowKey {
    pub(super) const TCP: u32 = PROTO_TCP as u32;

    #[must_use]
    #[inline(always)]
    pub const fn tcp(src: [u8; 4], src_port: [u8; 2], dst: [u8; 4], dst_port: [u8; 2]) -> Self {
        Self {
            addresses: join(u32::from_ne_bytes(src), u32::from_ne_bytes(dst)),
            ports: join16(u16::from_ne_bytes(src_port), u16::from_ne_bytes(dst_port)),
            protocol: Self::TCP,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn of(headers: &Headers) -> Self {
        Self::tcp(headers.ip.src, headers.tcp.src_port, headers.ip.dst, headers.tcp.dst_port)
    }

    /// The tuple of the packets that answer this one.
    #[must_use]
    #[inline(always)]
    pub const fn turned(&self) -> Self {
        Self {
            addresses: self.addresses.rotate_left(32),
            ports: self.ports.rotate_left(16),
            protocol: self.protocol,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn src(&self) -> [u8; 4] {
        low(self.addresses).to_ne_bytes()
    }

    #[must_use]
    #[inline(always)]
    pub const fn dst(&self) -> [u8; 4] {
        high(self.addresses).to_ne_bytes()
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

    /// Addresses and ports, as they lie in a table.
    #[must_use]
    #[inline(always)]
    pub const fn as_words(&self) -> (u64, u32) {
        (self.addresses, self.ports)
    }

    /// The key of [`Self::as_words`].
    #[must_use]
    #[inline(always)]
    pub const fn of_words(addresses: u64, ports: u32) -> Self {
        Self { addresses, ports, protocol: Self::TCP }
    }

    /// Four words, for hashing.
    #[must_use]
    #[inline(always)]
    pub(crate) const fn words(&self) -> [u32; 4] {
        [low(self.addresses), high(self.addresses), self.ports, self.protocol]
    }
}

// The first of two neighbours in memory is the lower half of a word on every machine that XDP
// drivers exist for.
const _: () = assert!(cfg!(target_endian = "little"));
