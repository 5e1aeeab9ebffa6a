use super::marks;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The handshake has not ended, whatever other flags came.
    HalfOpen,
    /// The client has ended the handshake; the backend has not shown yet that it knows of it.
    Answered,
    Established,
    /// One side has said that it sends no more.
    Closing,
    /// Both sides have, or one has reset.
    Closed,
}

impl State {
    /// From the first to be evicted to the last.
    pub const ALL: [Self; 5] =
        [Self::Closed, Self::HalfOpen, Self::Answered, Self::Closing, Self::Established];

    /// The state of the connection whose entries carry these marks.
    #[must_use]
    #[inline(always)]
    pub const fn of(marks: u16) -> Self {
        if marks & marks::QUARANTINED != 0 {
            return Self::Closed;
        }
        if !marks::are_shaken(marks) {
            return Self::HalfOpen;
        }
        let fins = marks & marks::FINS;
        if marks & (marks::CLIENT_RST | marks::BACKEND_RST) != 0 || fins == marks::FINS {
            return Self::Closed;
        }
        if fins != 0 {
            return Self::Closing;
        }
        if marks & marks::PROVEN != 0 { Self::Established } else { Self::Answered }
    }
}
