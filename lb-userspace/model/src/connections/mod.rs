//! Connections of the flow table, and filters of them.

mod filter;
mod order;

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use lb_common::flow::{State, flags_seen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::filter::text;
pub use self::{
    filter::{ClientFilter, Filter},
    order::Order,
};

/// Follows the name of a service that was removed.
pub const REMOVED: &str = " (removed)";

/// Maximum number of connections in a sorted list, and of clients, as they are in memory at once.
pub const MOST: u64 = 10_000;

/// A connection of the flow table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Name of the service, with ` (removed)` appended if it was removed. None if no known service had the
    /// backend.
    pub service: Option<String>,
    pub client: SocketAddr,
    /// Destination of the client's connection.
    pub vip: SocketAddr,
    /// Source address and port that the backend sees.
    pub source: SocketAddr,
    pub backend: SocketAddr,
    pub state: ConnectionState,
    /// Time since it was opened.
    pub age_seconds: f64,
    /// Time since the last packet of either side.
    pub idle_seconds: f64,
    /// Traffic, only with `limits.accounting`.
    #[serde(default, skip_serializing_if = "Option::is_none", flatten)]
    pub account: Option<Account>,
}

/// IP packets of a connection and their bytes: "in" is from the client, "out" is to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl Account {
    /// Returns the bytes of both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_in.saturating_add(self.bytes_out)
    }

    /// Returns the packets of both directions.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets_in.saturating_add(self.packets_out)
    }
}

/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ConnectionState {
    /// The handshake is not complete.
    HalfOpen,
    /// The backend sent a reset before the handshake was complete: the client's next SYN reopens
    /// it.
    Refused,
    /// The client has completed the handshake; the backend has sent nothing since.
    Answered,
    Established,
    /// One side has sent a FIN.
    Closing,
    /// Both sides have sent a FIN, or one has sent a reset.
    Closed,
}

impl ConnectionState {
    /// All states of a connection that can still be killed.
    pub const OPEN: [Self; 5] =
        [Self::HalfOpen, Self::Refused, Self::Answered, Self::Established, Self::Closing];

    /// Returns the state of the connection whose entries have these marks.
    #[must_use]
    pub const fn of(seen: u16) -> Self {
        const REFUSED: u16 = flags_seen::REFUSED | flags_seen::BACKEND_RST;
        match State::of(seen) {
            State::HalfOpen if seen & REFUSED != 0 => Self::Refused,
            State::HalfOpen => Self::HalfOpen,
            State::Answered => Self::Answered,
            State::Established => Self::Established,
            State::Closing => Self::Closing,
            State::Closed => Self::Closed,
        }
    }
}

/// The clients with the most connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clients {
    /// Number of all clients.
    pub clients: u64,
    /// Number of connections of all clients.
    pub connections: u64,
    /// Those with the most connections first.
    pub busiest: Vec<ClientCount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCount {
    pub client: IpAddr,
    pub connections: u64,
}

/// Connections that were killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kill {
    pub killed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A search of the flow table that is running: a list, a count, or an end of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchView {
    /// Process of the client.
    pub pid: Option<i32>,
    /// Entries of the table that have been read so far.
    pub swept: u64,
    /// Entries of the table, two for each connection.
    pub entries: u64,
}

/// Number of connections by state.
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
