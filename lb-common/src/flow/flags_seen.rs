//! Flags seen of a connection, and decisions on it: bits of an entry's tag. Both entries of a pair
//! carry the same, apart from [`TO_CLIENT`] and [`QUARANTINED`].

use super::Direction;

/// The client has acknowledged the backend's SYN, by the number that only its receiver knows.
pub const CLIENT_ACK: u16 = 1 << 0;
pub const CLIENT_FIN: u16 = 1 << 1;
pub const CLIENT_RST: u16 = 1 << 2;
pub const BACKEND_SYN: u16 = 1 << 3;
/// The backend has sent data, or acknowledged more than the client's SYN.
pub const PROVEN: u16 = 1 << 4;
pub const BACKEND_FIN: u16 = 1 << 5;
pub const BACKEND_RST: u16 = 1 << 6;
/// Until the handshake is complete: the backend has refused the connection, which the client was not told; its
/// next SYN is given another backend.
pub const REFUSED: u16 = 1 << 7;
/// Once it is complete, in the same bit: the client's reset has the very number that its backend expects next. Its
/// next SYN is a new connection's.
pub const RESET_EXACTLY: u16 = REFUSED;

/// This entry matches the backend's packets.
pub const TO_CLIENT: u16 = 1 << 8;
/// Its connection was replaced; the tuple is in quarantine before it is used again.
pub const QUARANTINED: u16 = 1 << 9;

const REFUSALS_SHIFT: u32 = 10;
/// Number of backends that have refused the client's connection before it got this one.
const REFUSALS: u16 = 3 << REFUSALS_SHIFT;

/// The client has sent a SYN since its backend, which had answered one, was last heard of.
pub const ASKED: u16 = 1 << 12;

const FIRST_REFUSER_SHIFT: u32 = 13;
/// The lowest bits of the id of the first backend that has refused the client's connection.
const FIRST_REFUSER: u16 = 3 << FIRST_REFUSER_SHIFT;

/// The refusal that a client is told of, counted from 1.
pub const LAST_REFUSAL: u16 = 3;

/// What a flow of [one direction](super::Shape::OneWay) begins with, as its backend's SYN is never
/// seen. It is never [`PROVEN`].
pub const UNSEEN: u16 = BACKEND_SYN;

/// The handshake is complete.
pub const SHAKEN: u16 = CLIENT_ACK | BACKEND_SYN;
/// Both sides have said that they send no more.
pub const FINS: u16 = CLIENT_FIN | BACKEND_FIN;

/// Returns true if the handshake is complete.
#[must_use]
#[inline(always)]
pub const fn are_shaken(seen: u16) -> bool {
    seen & SHAKEN == SHAKEN
}

/// Returns true if the entry towards the backend holds its connection's start time, as no other number
/// is needed.
#[must_use]
#[inline(always)]
pub const fn is_dated(seen: u16) -> bool {
    seen & (BACKEND_SYN | PROVEN) != BACKEND_SYN
}

#[must_use]
#[inline(always)]
pub const fn direction(seen: u16) -> Direction {
    if seen & TO_CLIENT == 0 { Direction::ToBackend } else { Direction::ToClient }
}

/// Returns the number of backends that have refused the client's connection before it got this one.
#[must_use]
#[inline(always)]
pub const fn refusals(seen: u16) -> u16 {
    (seen & REFUSALS) >> REFUSALS_SHIFT
}

/// The flags seen of the connection that replaces one with these flags seen, which this backend has refused.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is wanted")]
pub const fn refused_by(seen: u16, backend: u32) -> u16 {
    let first = match refusals(seen) {
        0 => (backend as u16) << FIRST_REFUSER_SHIFT & FIRST_REFUSER,
        _ => seen & FIRST_REFUSER,
    };
    let count = refusals(seen) + 1;
    let count = if count < LAST_REFUSAL { count } else { LAST_REFUSAL };
    count << REFUSALS_SHIFT | first
}

/// Returns true if a backend is, as far as the flags can tell, the first of two that have refused the
/// client's connection.
#[must_use]
#[inline(always)]
pub const fn may_be_first_refuser(seen: u16, backend: u32) -> bool {
    refusals(seen) > 1 && refused_by(0, backend) & FIRST_REFUSER == seen & FIRST_REFUSER
}

/// Returns true if the backend has not answered a SYN yet.
#[must_use]
#[inline(always)]
pub const fn is_unanswered(seen: u16) -> bool {
    seen & SHAKEN == 0
}

/// Returns true if the backend has refused the connection.
#[must_use]
#[inline(always)]
pub const fn is_refused(seen: u16) -> bool {
    seen & REFUSED != 0 && !are_shaken(seen)
}

/// Returns true if the client may have been sent a packet of the backend: its SYN-ACK, or a reset that refuses the
/// connection.
#[must_use]
#[inline(always)]
pub const fn has_answer(seen: u16) -> bool {
    !is_unanswered(seen) || seen & BACKEND_RST != 0
}

/// Returns true if the backend has ended the connection itself: the client's next SYN on the tuple is a
/// new connection's. A client's segments alone, which may be forged, do not suffice: the backend answers
/// that SYN itself.
#[must_use]
#[inline(always)]
pub const fn is_over(seen: u16) -> bool {
    seen & BACKEND_RST != 0 || seen & (SHAKEN | FINS) == SHAKEN | FINS
}

/// As [`is_over`], of a flow of one direction: its backend answers a SYN of the same connection itself.
#[must_use]
#[inline(always)]
pub const fn is_over_one_way(seen: u16) -> bool {
    seen & (CLIENT_FIN | CLIENT_RST) != 0
}

/// Returns true if a segment that [is usual](crate::tcp::is_usual) changes no flags, as most do not.
#[must_use]
#[inline(always)]
pub const fn are_settled(seen: u16, direction: Direction) -> bool {
    match direction {
        Direction::ToBackend => seen & (CLIENT_ACK | CLIENT_FIN) == CLIENT_ACK,
        Direction::ToClient => seen & (PROVEN | CLIENT_RST | ASKED) == PROVEN,
    }
}
