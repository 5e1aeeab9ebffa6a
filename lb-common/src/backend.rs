//! Backends: where connections go.

use bytemuck::{Pod, Zeroable};

/// A way out: the interface and the Ethernet header's addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Hop {
    pub dst_mac: Mac,
    pub src_mac: Mac,
    pub ifindex: u32,
    reserved: u32,
}

/// An Ethernet address and two zero bytes, in one word: compared and copied at once.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Mac(u64);

impl Hop {
    #[must_use]
    pub const fn new(dst_mac: [u8; 6], src_mac: [u8; 6], ifindex: u32) -> Self {
        Self { dst_mac: Mac::new(dst_mac), src_mac: Mac::new(src_mac), ifindex, reserved: 0 }
    }
}

impl Mac {
    #[must_use]
    pub const fn new(mac: [u8; 6]) -> Self {
        Self(u64::from_ne_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0]))
    }

    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        let mac = self.0.to_ne_bytes();
        [mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]]
    }
}

/// What the map knows of a backend. Its address never changes under one id; its hop does, when
/// the neighbour behind it moves.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Backend {
    pub hop: Hop,
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    pub port: [u8; 2],
    pub reserved: [u8; 2],
    /// Id of the service it belongs to.
    pub service: u32,
    /// First of its sources in the arena.
    pub sources: u32,
    pub source_count: u32,
}

const _: () = assert!(size_of::<Hop>() == 24);
const _: () = assert!(size_of::<Backend>() == 56);
