//! What a sweep of the table looks for, and what it finds.

use std::collections::{HashMap, HashSet};

use lb_common::{backend::Hop, event::ClientHop, flow::State};

use crate::flows::{Moves, Scope};

/// Connections by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    pub half_open: u64,
    pub answered: u64,
    pub established: u64,
    pub closing: u64,
    pub closed: u64,
}

/// Result of a sweep of the table.
#[derive(Clone, Debug, Default)]
pub struct FlowCounts {
    /// Entries of the table, two per connection.
    pub entries: u64,
    /// Single entries among them whose source port is cooling down.
    pub cooling: u64,
    pub states: States,
    /// False if entries that were being written were not counted.
    pub has_seen_all: bool,
    /// Ids of backends that any entry refers to.
    pub referred: HashSet<u32>,
    /// Expired connections removed by this sweep.
    pub expired: u64,
    /// Next hops of clients, with a client of each; incomplete if there are very many.
    pub client_hops: HashMap<Hop, [u8; 4]>,
    /// Connections that must change their next hop; the next sweep finds more if there are very
    /// many.
    pub moved: Vec<ClientHop>,
    /// Moves of these connections.
    pub found: HashSet<Scope>,
    /// Clients of the searched hops, each with its hop; the next sweep finds more if there are very
    /// many.
    pub clients: HashSet<(Hop, [u8; 4])>,
}

impl FlowCounts {
    /// Frees the results on clients.
    pub fn forget_clients(&mut self) {
        let Self { client_hops, moved, found, clients, .. } = self;
        (*client_hops, *moved, *found, *clients) = Default::default();
    }

    /// Returns true if all connections that must change their hop were found.
    #[must_use]
    pub fn has_all_moved(&self) -> bool {
        self.moved.len() < MOST_MOVED
    }

    /// Returns true if all clients of the searched hops were found.
    #[must_use]
    pub fn has_all_clients(&self) -> bool {
        self.clients.len() < MOST_CLIENTS
    }
}

/// Additional search of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Search {
    pub moves: Moves,
    /// Hops whose clients to find, each with the clients already known.
    pub clients_of: HashMap<Hop, HashSet<[u8; 4]>>,
}

/// Maximum number of next hops of clients that a sweep reports.
pub(super) const MOST_HOPS: usize = 1_024;

/// Maximum number of connections that a sweep moves.
const MOST_MOVED: usize = 1 << 16;

/// Maximum number of clients of searched hops that a sweep reports.
const MOST_CLIENTS: usize = 1_024;

impl States {
    /// Returns the number of connections that are not closed.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.half_open + self.answered + self.established + self.closing
    }

    pub fn count(&mut self, state: State) {
        match state {
            State::HalfOpen => self.half_open += 1,
            State::Answered => self.answered += 1,
            State::Established => self.established += 1,
            State::Closing => self.closing += 1,
            State::Closed => self.closed += 1,
        }
    }
}
