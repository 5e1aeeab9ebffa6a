//! Source addresses and ports of full NAT.

use bytemuck::{Pod, Zeroable};

use crate::limits::SNAT_SOURCES;

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

/// Number of bits of a draw's number: enough for all pairs of source and port.
pub const DRAW_BITS: u32 = 28;

const _: () = assert!(SNAT_SOURCES as u64 * u16::MAX as u64 <= 1 << DRAW_BITS);

/// Returns the number of a draw, of the ticket that it took.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "draws are in rotation")]
pub const fn draw_of_ticket(ticket: u64) -> u32 {
    ticket as u32 & ((1 << DRAW_BITS) - 1)
}

/// Returns the indices of source and port of a draw: one address after the other, then
/// the next port, so that each pair of address and port is unused for as long as possible.
///
/// `source_count` and `ports` must not be 0.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "less than its modulus")]
pub const fn drawn(draw: u32, source_count: u32, ports: u16) -> (u32, u16) {
    (draw % source_count, (draw / source_count % ports as u32) as u16)
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
const fn ahead(attempt: u32, pairs: u32) -> u32 {
    let part = pairs / PARTS;
    if attempt < NEIGHBOURS || part < NEIGHBOURS {
        return attempt;
    }
    part * (attempt - NEIGHBOURS + 1)
}

/// Returns the number of the draw of a connection's `attempt`-th try, if its own is this one.
#[must_use]
#[inline(always)]
pub const fn draw_of(own: u32, attempt: u32, pairs: u32) -> u32 {
    own.wrapping_add(ahead(attempt, pairs)) & ((1 << DRAW_BITS) - 1)
}

/// Returns the number of draws that a connection has used beyond its own, if this try got a port.
#[must_use]
#[inline(always)]
pub const fn neighbours_passed(attempt: u32) -> u32 {
    if attempt < NEIGHBOURS { attempt } else { 0 }
}
