//! Effect of a segment on a connection, as a third party sees it.
//!
//! States are those of RFC 9293 as far as a third party can tell them. Whose reset and whose FIN
//! counts follows RFC 5961: the client's side is where anybody may write, so a number must show that
//! its sender takes part in the connection; the backend's side is ours.
//!
//! | number | means |
//! |---|---|
//! | until the backend's SYN | the client's initial sequence number |
//! | until the client's ACK | the backend's initial sequence number |
//! | from then on | the backend's highest acknowledgement: what it expects next of the client |
//!
//! | other number | means |
//! |---|---|
//! | from the backend's SYN on | what that acknowledged |
//! | from the client's ACK on | the backend's initial sequence number |
//! | once the backend has shown that it knows of the connection | nothing |

use super::{Direction, flags_seen};
use crate::tcp::{ACK, FIN, RST, SYN, Segment};

/// Maximum distance of a client's reset or FIN beyond the backend's highest acknowledgement: data in
/// flight. A peer that is reset outside of it but within the backend's own window is asked again by
/// a challenge ACK, and then says the number exactly.
pub const WINDOW: u32 = 1 << 20;

/// The flags of a client's reset.
const RESET: u16 = flags_seen::CLIENT_RST | flags_seen::RESET_EXACTLY;

/// Maximum data of a SYN, which a refusal acknowledges with it.
const SYN_DATA: u32 = u16::MAX as u32;

/// A connection as far as segments change it. It knows nothing of where it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub seen: u16,
    pub number: u32,
    pub other: u32,
}

impl Progress {
    /// The connection after a segment that went by in this direction.
    #[must_use]
    #[inline(always)]
    pub const fn after(self, direction: Direction, segment: &Segment) -> Self {
        let is_shaken = flags_seen::are_shaken(self.seen);
        match (direction, is_shaken) {
            (Direction::ToBackend, false) => self.after_first_of_client(segment),
            (Direction::ToBackend, true) => self.after_client(segment),
            (Direction::ToClient, false) => self.heard().after_first_of_backend(segment),
            (Direction::ToClient, true) => self.heard().after_backend(segment),
        }
    }

    /// Returns true if this segment of the backend refuses a SYN that it has not answered before.
    #[must_use]
    #[inline(always)]
    pub const fn is_refused_by(&self, segment: &Segment) -> bool {
        let acknowledges = segment.acknowledgement.wrapping_sub(self.number).wrapping_sub(1);
        flags_seen::is_unanswered(self.seen)
            && segment.has(RST)
            && segment.has(ACK)
            && acknowledges <= SYN_DATA
    }

    /// Returns the progress after a client's segment of a flow of [one direction](super::Shape::OneWay).
    /// The number is the end of what the client has sent.
    #[must_use]
    #[inline(always)]
    pub const fn after_one_way(&self, segment: &Segment) -> Self {
        if segment.has(SYN) {
            let is_first = self.seen & flags_seen::CLIENT_ACK == 0;
            return if is_first { Self { number: segment.sequence, ..*self } } else { *self };
        }
        let end = segment.sequence.wrapping_add(segment.payload as u32);
        let next = self.after_client(segment);
        if segment.has(RST) || !self.expects(end) {
            return next;
        }
        let number = if is_beyond(end, self.number) { end } else { self.number };
        Self { number, ..next }.with(flags_seen::CLIENT_ACK)
    }

    /// A client's segment while the handshake is under way.
    #[inline(always)]
    const fn after_first_of_client(self, segment: &Segment) -> Self {
        let has_answer = self.seen & flags_seen::BACKEND_SYN != 0;
        if segment.has(RST) {
            return self;
        }
        if segment.has(SYN) {
            // The backend gets another SYN, and refuses or acknowledges the number that came last.
            return if has_answer {
                self.with(flags_seen::ASKED)
            } else {
                Self { number: segment.sequence, ..self }
            };
        }
        let expected = self.number.wrapping_add(1);
        if !has_answer || !segment.has(ACK) || segment.acknowledgement != expected {
            return self;
        }
        let shaken = self.seen & !flags_seen::BACKEND_RST | flags_seen::CLIENT_ACK;
        Self { seen: shaken, number: self.other, other: self.number }.after_client(segment)
    }

    /// A client's segment after the handshake.
    #[inline(always)]
    const fn after_client(self, segment: &Segment) -> Self {
        if segment.has(SYN) {
            return self.with(flags_seen::ASKED);
        }
        if segment.has(RST) {
            return self.after_reset(segment.sequence);
        }
        let end = segment.sequence.wrapping_add(segment.payload as u32);
        if !self.expects(end) {
            return self;
        }
        if segment.has(FIN) {
            return self.with(flags_seen::CLIENT_FIN);
        }
        // No data follow a client's own FIN: that one was forged, or is sent again.
        let goes_on = segment.payload > 0 && is_beyond(end, self.number);
        if goes_on { Self { seen: self.seen & !flags_seen::CLIENT_FIN, ..self } } else { self }
    }

    /// A client's reset of this number.
    #[inline(always)]
    const fn after_reset(self, sequence: u32) -> Self {
        if !self.expects(sequence) {
            return self;
        }
        let is_exact = sequence == self.number && flags_seen::are_shaken(self.seen);
        let exactly = if is_exact { flags_seen::RESET_EXACTLY } else { 0 };
        self.with(flags_seen::CLIENT_RST | exactly)
    }

    /// A backend's segment while the handshake is under way.
    #[inline(always)]
    const fn after_first_of_backend(self, segment: &Segment) -> Self {
        let has_answered = self.seen & flags_seen::BACKEND_SYN != 0;
        if segment.has(RST) {
            let ends = if has_answered {
                is_first_after(segment, self.number)
            } else {
                self.is_refused_by(segment)
            };
            return if ends { self.with(flags_seen::BACKEND_RST) } else { self };
        }
        if segment.has(SYN) {
            return self.answered(segment);
        }
        // Data before the client's ACK: TCP Fast Open (RFC 7413), by a cookie that proves as much.
        if has_answered && (segment.payload > 0 || segment.has(FIN)) {
            let shaken = Self { seen: self.seen | flags_seen::CLIENT_ACK, ..self };
            return Self { number: segment.acknowledgement, ..shaken }.after_backend(segment);
        }
        self
    }

    /// A backend's segment after the handshake.
    #[inline(always)]
    const fn after_backend(self, segment: &Segment) -> Self {
        if segment.has(RST) {
            let is_proven = self.seen & flags_seen::PROVEN != 0;
            let ends = is_proven || is_first_after(segment, self.other);
            return if ends { self.with(flags_seen::BACKEND_RST) } else { self };
        }
        if segment.has(SYN) {
            return self.after_late_syn(segment);
        }
        let mut next = Self { seen: self.seen & !RESET, ..self };
        if is_beyond(segment.acknowledgement, self.number) {
            next = Self { number: segment.acknowledgement, ..next }.with(flags_seen::PROVEN);
        }
        if segment.payload > 0 {
            next = next.with(flags_seen::PROVEN);
        }
        if segment.has(FIN) {
            next.with(flags_seen::PROVEN | flags_seen::BACKEND_FIN)
        } else {
            next
        }
    }

    /// The backend's SYN after the handshake: it has not heard of the client's ACK, or the client
    /// has reset, and started again.
    #[inline(always)]
    const fn after_late_syn(self, segment: &Segment) -> Self {
        const ENDED: u16 =
            flags_seen::CLIENT_ACK | flags_seen::PROVEN | flags_seen::CLIENT_RST | flags_seen::FINS;
        if flags_seen::is_over(self.seen) {
            return self;
        }
        let is_proven =
            self.seen & (flags_seen::PROVEN | flags_seen::CLIENT_RST) == flags_seen::PROVEN;
        if is_proven {
            // A late copy, or the tuple is used again after a backend's crash.
            return Self { number: segment.acknowledgement, ..self };
        }
        Self { seen: self.seen & !ENDED, ..self }.answered(segment)
    }

    #[inline(always)]
    const fn answered(self, segment: &Segment) -> Self {
        Self {
            seen: self.seen & !(flags_seen::BACKEND_RST | flags_seen::REFUSED)
                | flags_seen::BACKEND_SYN,
            number: segment.sequence,
            other: segment.acknowledgement,
        }
    }

    /// The connection when its backend has said anything.
    #[inline(always)]
    const fn heard(self) -> Self {
        Self { seen: self.seen & !flags_seen::ASKED, ..self }
    }

    #[inline(always)]
    const fn with(self, seen: u16) -> Self {
        Self { seen: self.seen | seen, ..self }
    }

    /// Returns true if a client that takes part in the connection may send this number: at most [`WINDOW`]
    /// beyond what the backend expects next, or the one before, as a repeated FIN has it.
    #[inline(always)]
    const fn expects(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.number).wrapping_add(1) <= WINDOW + 1
    }
}

/// Returns true if a backend's reset is of the connection that begins with this number, and of which it has sent
/// nothing yet. Until a backend has the client's ACK it answers a wrong one by a reset of the wrong ACK's
/// number, and goes on waiting: RFC 9293, section 3.10.7.4.
#[inline(always)]
const fn is_first_after(reset: &Segment, initial: u32) -> bool {
    reset.sequence == initial.wrapping_add(1)
}

/// Returns true if a sequence number comes after another one: RFC 9293, section 3.4.
#[must_use]
#[inline(always)]
pub const fn is_beyond(number: u32, other: u32) -> bool {
    number != other && number.wrapping_sub(other) <= u32::MAX / 2
}
