//! Source addresses and ports that full NAT gives to connections.

use bytemuck::{Pod, Zeroable};

/// One source address and the ports that may be drawn from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Source {
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    pub first_port: u16,
    /// How many ports from the first on; never 0 in a source that a backend names.
    pub ports: u16,
}

const _: () = assert!(size_of::<Source>() == 20);

/// Which source and which port the `turn`-th draw gets: one address after the other, then the
/// next port, so that every pair of address and port rests as long as there are others.
///
/// `source_count` and `ports` must not be 0.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "each is less than its modulus")]
pub const fn draw(turn: u64, source_count: u32, ports: u16) -> (u32, u16) {
    let source = turn % source_count as u64;
    let port = (turn / source_count as u64) % ports as u64;
    (source as u32, port as u16)
}

/// From one try to find a free source port to the next: a prime above any number of pairs, so that
/// tries meet different pairs, and far apart, as ports that are taken tend to lie in runs.
pub const STRIDE: u64 = 2_654_435_761;
