use super::flags_seen;

/// The state of a connection.
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

    /// The state of the connection whose entries carry these flags seen.
    #[must_use]
    #[inline(always)]
    pub const fn of(seen: u16) -> Self {
        if seen & flags_seen::QUARANTINED != 0 {
            return Self::Closed;
        }
        if !flags_seen::are_shaken(seen) {
            return Self::HalfOpen;
        }
        let fins = seen & flags_seen::FINS;
        if seen & (flags_seen::CLIENT_RST | flags_seen::BACKEND_RST) != 0
            || fins == flags_seen::FINS
        {
            return Self::Closed;
        }
        if fins != 0 {
            return Self::Closing;
        }
        if seen & flags_seen::PROVEN != 0 { Self::Established } else { Self::Answered }
    }
}
