//! Connections, as the flow table has them: found in the mapping, named, filtered, told one by one.

mod filter;
mod listing;

use std::net::SocketAddr;

use clap::ValueEnum;
use lb_common::flow::{State, marks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    filter::{ClientFilter, Filter},
    listing::{Directory, Listing},
};

/// Follows the name of a service that was removed.
pub const REMOVED: &str = " (removed)";

/// A connection of the flow table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// With ` (removed)` behind it, if that was removed. Nothing if no service is known that had the
    /// backend.
    pub service: Option<String>,
    pub client: SocketAddr,
    /// Where the client has connected to.
    pub vip: SocketAddr,
    /// Where the backend sees the connection come from.
    pub source: SocketAddr,
    pub backend: SocketAddr,
    pub state: ConnectionState,
    /// Since it was opened.
    pub age_seconds: f64,
    /// Since the last packet of either side.
    pub idle_seconds: f64,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionState {
    /// The handshake has not ended.
    HalfOpen,
    /// The backend has reset it before the handshake ended: the client's next SYN opens it again.
    Refused,
    /// The client has ended the handshake; the backend has sent nothing since.
    Answered,
    Established,
    /// One side has said that it sends no more.
    Closing,
    /// Both sides have, or one has reset.
    Closed,
}

impl ConnectionState {
    /// The state of the connection whose entries carry these marks.
    #[must_use]
    pub const fn of(marks: u16) -> Self {
        const REFUSED: u16 = marks::REFUSED | marks::BACKEND_RST;
        match State::of(marks) {
            State::HalfOpen if marks & REFUSED != 0 => Self::Refused,
            State::HalfOpen => Self::HalfOpen,
            State::Answered => Self::Answered,
            State::Established => Self::Established,
            State::Closing => Self::Closing,
            State::Closed => Self::Closed,
        }
    }
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub total: u64,
    pub half_open: u64,
    #[serde(default)]
    pub refused: u64,
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
}

impl Counts {
    pub fn count(&mut self, state: ConnectionState) {
        self.total += 1;
        match state {
            ConnectionState::HalfOpen => self.half_open += 1,
            ConnectionState::Refused => self.refused += 1,
            ConnectionState::Answered => self.answered += 1,
            ConnectionState::Established => self.established += 1,
            ConnectionState::Closing => self.closing += 1,
            ConnectionState::Closed => self.closed += 1,
        }
    }
}

#[cfg(test)]
mod tests;
