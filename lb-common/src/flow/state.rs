use super::marks;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The handshake has not ended.
    HalfOpen,
    Established,
    /// One side has said that it sends no more.
    Closing,
    /// Both sides have, or one has reset.
    Closed,
}

impl State {
    /// The state of the connection whose entries carry these marks.
    #[must_use]
    #[inline(always)]
    pub const fn of(marks: u16) -> Self {
        const ENDED: u16 = marks::BACKEND_RST | marks::QUARANTINED;
        const FINS: u16 = marks::CLIENT_FIN | marks::BACKEND_FIN;
        const SHAKEN: u16 = marks::CLIENT_ACK | marks::BACKEND_SYN;
        // A backend that has yet to agree may have had the same tuple in TIME-WAIT and answered the
        // SYN by a challenge ACK (RFC 5961, section 4.2). The client's reset makes it forget that
        // tuple, and the next SYN must come by the same one.
        const ABORTED: u16 = marks::CLIENT_RST | marks::BACKEND_SYN;
        if marks & ENDED != 0 || marks & ABORTED == ABORTED || marks & FINS == FINS {
            return Self::Closed;
        }
        if marks & FINS != 0 {
            return Self::Closing;
        }
        if marks & SHAKEN == SHAKEN { Self::Established } else { Self::HalfOpen }
    }
}
