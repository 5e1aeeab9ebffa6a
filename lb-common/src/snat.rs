//! Source addresses and ports of full NAT.

use bytemuck::{Pod, Zeroable};

/// One source address and the ports that may be drawn from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Source {
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    pub first_port: u16,
    /// Number of ports, from the first on; never 0 in a source that a backend refers to.
    pub ports: u16,
}

const _: () = assert!(size_of::<Source>() == 20);

/// Returns the indices of source and port of the `turn`-th draw: one address after the other, then
/// the next port, so that each pair of address and port rests for as long as possible.
///
/// `source_count` and `ports` must not be 0.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "each is less than its modulus")]
pub const fn draw(turn: u64, source_count: u32, ports: u16) -> (u32, u16) {
    let source = turn % source_count as u64;
    let port = (turn / source_count as u64) % ports as u64;
    (source as u32, port as u16)
}

/// Number of tries among the ports that are drawn next anyway, so that a flood of handshakes meets
/// its oldest first, even if some ports are unavailable.
const NEIGHBOURS: u32 = 3;

/// Number of parts of the rotation for later tries: ports that are taken tend to be in runs.
const PARTS: u32 = 8;

/// Number of source ports tried for a connection.
pub const TRIES: u32 = NEIGHBOURS + PARTS - 1;

/// Returns the distance from a connection's own draw to its `attempt`-th try, in a rotation of this
/// many pairs of source and port. The [`TRIES`] differ, if there are enough pairs.
#[must_use]
#[inline(always)]
pub const fn ahead(attempt: u32, pairs: u64) -> u64 {
    let part = pairs / PARTS as u64;
    if attempt < NEIGHBOURS || part < NEIGHBOURS as u64 {
        return attempt as u64;
    }
    part * (attempt - NEIGHBOURS + 1) as u64
}

/// Returns the number of draws that a connection has used beyond its own, if this try got a port.
#[must_use]
#[inline(always)]
pub const fn neighbours_passed(attempt: u32) -> u32 {
    if attempt < NEIGHBOURS { attempt } else { 0 }
}
