//! Backends: the servers that connections go to.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::flow::{Endpoints, Ends, Family};

/// A next hop: the interface and the Ethernet header's addresses, in two words that are compared
/// and copied at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Hop {
    /// The first eight bytes of the Ethernet header.
    first: u64,
    /// The next four, and the interface.
    rest: u64,
}

impl Hop {
    #[must_use]
    #[inline(always)]
    pub const fn new(dst_mac: [u8; 6], src_mac: [u8; 6], ifindex: u32) -> Self {
        // Compilers do not combine the loads of six single bytes themselves.
        let [d0, d1, d2, d3, d4, d5] = dst_mac;
        let [s0, s1, s2, s3, s4, s5] = src_mac;
        let dst = u32::from_le_bytes([d0, d1, d2, d3]) as u64
            | (u16::from_le_bytes([d4, d5]) as u64) << 32;
        let first = dst | (u16::from_le_bytes([s0, s1]) as u64) << 48;
        let rest = u32::from_le_bytes([s2, s3, s4, s5]) as u64 | (ifindex as u64) << 32;
        Self { first, rest }
    }

    /// Returns the two words of the hop.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        [self.first, self.rest]
    }

    /// Makes a hop of the result of [`Self::words`].
    #[must_use]
    #[inline(always)]
    pub const fn of_words([first, rest]: [u64; 2]) -> Self {
        Self { first, rest }
    }

    /// Returns true if a frame to this MAC address that arrived on this interface came in where
    /// frames to this hop leave.
    #[must_use]
    #[inline(always)]
    pub const fn receives(&self, dst_mac: [u8; 6], ifindex: u32) -> bool {
        let [d0, d1, d2, d3, d4, d5] = dst_mac;
        let rest = u32::from_le_bytes([d2, d3, d4, d5]) as u64 | (ifindex as u64) << 32;
        rest == self.rest && u16::from_le_bytes([d0, d1]) as u64 == self.first >> 48
    }

    /// Index of the interface; 0: no next hop.
    #[must_use]
    #[inline(always)]
    pub const fn ifindex(&self) -> u32 {
        (self.rest >> 32) as u32
    }

    /// Returns destination, then source, in the order of an Ethernet header.
    #[must_use]
    #[inline(always)]
    pub const fn macs(&self) -> [u8; 12] {
        let [d0, d1, d2, d3, d4, d5, s0, s1] = self.first.to_le_bytes();
        let [s2, s3, s4, s5, ..] = self.rest.to_le_bytes();
        [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5]
    }
}

/// A backend's entry in the map, in two cache lines. Its address and its VIP never change under one
/// id; its hop does, when the neighbour behind it moves. A backend whose service gets another VIP gets
/// another id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Backend {
    // What every packet needs.
    pub hop: Hop,
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    /// Address that its connections are to. IPv4 as IPv4-mapped.
    pub vip: [u8; 16],
    pub port: [u8; 2],
    pub vip_port: [u8; 2],
    /// Time at which it left its service's ring, in [`ticks`](crate::flow::ticks), but never 0; 0
    /// while it is in the ring. Written after the ring.
    pub left: u32,
    /// Number of the [group](crate::group) of its VIP.
    pub group: u32,
    pub unused: u32,
    // What new connections need.
    /// Id of the service it belongs to.
    pub service: u32,
    /// First of its sources in the arena.
    pub sources: u32,
    pub source_count: u32,
    /// 1 if it has left the ring because it is down, else 0.
    pub is_down: u32,
    /// Share of the load, relative to the weights of the other backends.
    pub weight: u16,
    /// 1 if its service's scheduler compares its number of connections with others', else 0.
    pub is_compared: u16,
    pub reserved: [u16; 22],
}

impl<F: Family> Ends<F> for &Backend {
    #[inline(always)]
    fn endpoints(self) -> Endpoints<F> {
        Endpoints {
            vip: F::of_mapped(self.vip),
            vip_port: self.vip_port,
            backend: F::of_mapped(self.address),
            backend_port: self.port,
        }
    }
}

const _: () = assert!(size_of::<Hop>() == 16);
const _: () = assert!(size_of::<Backend>() == 2 * LINE);
const _: () = assert!(offset_of!(Backend, unused) + size_of::<u32>() == LINE);
const _: () = assert!(offset_of!(Backend, service) == LINE);

/// Bytes of a cache line.
const LINE: usize = 64;
