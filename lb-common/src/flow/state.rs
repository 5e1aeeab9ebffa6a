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
        const ENDED: u16 = marks::CLIENT_RST | marks::BACKEND_RST | marks::QUARANTINED;
        const FINS: u16 = marks::CLIENT_FIN | marks::BACKEND_FIN;
        const SHAKEN: u16 = marks::CLIENT_ACK | marks::BACKEND_SYN;
        if marks & ENDED != 0 || marks & FINS == FINS {
            return Self::Closed;
        }
        if marks & FINS != 0 {
            return Self::Closing;
        }
        if marks & SHAKEN == SHAKEN { Self::Established } else { Self::HalfOpen }
    }
}
