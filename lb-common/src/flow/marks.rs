//! What has been seen of a connection, and decided of it: bits of a line's tag. Both entries of a
//! pair carry the same, but for [`TO_CLIENT`] and what follows it.

use super::Direction;
use crate::tcp;

pub const CLIENT_SYN: u16 = 1 << 0;
/// A segment of the client's that acknowledges and does not open.
pub const CLIENT_ACK: u16 = 1 << 1;
pub const CLIENT_FIN: u16 = 1 << 2;
/// The client's last segment was a reset.
pub const CLIENT_RST: u16 = 1 << 3;

pub const BACKEND_SYN: u16 = CLIENT_SYN << BACKEND;
pub const BACKEND_FIN: u16 = CLIENT_FIN << BACKEND;
pub const BACKEND_RST: u16 = CLIENT_RST << BACKEND;

/// This entry matches the backend's packets.
pub const TO_CLIENT: u16 = 1 << 8;
/// Its connection was replaced; the tuple rests until it may be used again.
pub const QUARANTINED: u16 = 1 << 9;

/// From the client's marks to the backend's.
const BACKEND: u16 = 4;

#[must_use]
#[inline(always)]
pub const fn direction(marks: u16) -> Direction {
    if marks & TO_CLIENT == 0 { Direction::ToBackend } else { Direction::ToClient }
}

/// Whether a segment with these TCP flags changes no marks, as most do not: it opens, ends and
/// resets nothing, and acknowledges like one before it.
#[must_use]
#[inline(always)]
pub const fn is_usual(marks: u16, direction: Direction, flags: u8) -> bool {
    const SPECIAL: u8 = tcp::SYN | tcp::FIN | tcp::RST;
    let side = side(direction);
    let known = marks & (CLIENT_ACK | CLIENT_RST) << side == CLIENT_ACK << side;
    known && flags & (SPECIAL | tcp::ACK) == tcp::ACK
}

#[inline(always)]
const fn side(direction: Direction) -> u16 {
    match direction {
        Direction::ToBackend => 0,
        Direction::ToClient => BACKEND,
    }
}

/// The marks after a segment with these TCP flags.
#[must_use]
#[inline(always)]
pub const fn after(marks: u16, direction: Direction, flags: u8) -> u16 {
    let side = side(direction);
    let mut seen = 0;
    if flags & tcp::SYN != 0 {
        seen |= CLIENT_SYN;
    } else if flags & tcp::ACK != 0 {
        seen |= CLIENT_ACK;
    }
    if flags & tcp::FIN != 0 {
        seen |= CLIENT_FIN;
    }
    if flags & tcp::RST != 0 {
        seen |= CLIENT_RST;
    }
    marks & !(CLIENT_RST << side) | seen << side
}
