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

/// Tries that meet neighbours: ports that are drawn next anyway, so that in a flood of handshakes the
/// oldest is met first, even where some ports are not to be had.
const NEIGHBOURS: u32 = 3;

/// Into how many parts later tries cut the rotation: ports that are taken tend to lie in runs.
const PARTS: u32 = 8;

/// How many source ports are tried for a connection.
pub const TRIES: u32 = NEIGHBOURS + PARTS - 1;

/// How far ahead of a connection's own draw its `attempt`-th try is, in a rotation of so many pairs of
/// source and port. The [`TRIES`] differ, as far as there are pairs.
#[must_use]
#[inline(always)]
pub const fn ahead(attempt: u32, pairs: u64) -> u64 {
    let part = pairs / PARTS as u64;
    if attempt < NEIGHBOURS || part < NEIGHBOURS as u64 {
        return attempt as u64;
    }
    part * (attempt - NEIGHBOURS + 1) as u64
}

/// How many draws of the rotation a connection has used up beside its own that got a port at this try.
#[must_use]
#[inline(always)]
pub const fn neighbours_passed(attempt: u32) -> u32 {
    if attempt < NEIGHBOURS { attempt } else { 0 }
}
