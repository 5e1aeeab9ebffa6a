//! Removal of connections.

use std::{net::SocketAddrV4, ops::ControlFlow};

use lb_common::{
    flow::{Direction, FlowKey},
    table::{Entry as _, at, partner, remove},
};
use lb_model::connections::ConnectionState;

use super::{Candidate, Search};

/// Number of attempts, as packets may change a connection's state at the same time.
const TRIES: usize = 4;

/// A connection that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed {
    pub client: SocketAddrV4,
    pub vip: SocketAddrV4,
    pub source: SocketAddrV4,
    pub backend: SocketAddrV4,
    /// Number that the backend expected next of the client, or had acknowledged a moment before.
    pub number: u32,
}

impl<'a> Search<'a> {
    /// See [`Listing::kill`](super::Listing::kill).
    pub(super) fn kill(self, tell: impl FnMut(Killed) -> ControlFlow<()>) {
        let left = self.matching_without_idle().filter(|one| one.state != ConnectionState::Closed);
        // Nothing is left to do if it breaks.
        let _ = left.filter_map(|one| self.removed(&one)).take(self.limit()).try_for_each(tell);
    }

    fn removed(self, candidate: &Candidate<'a>) -> Option<Killed> {
        let number = partner(self.table, candidate.hit).map_or(0, |back| back.entry.extra());
        let is_removed = (0..TRIES).any(|_| self.remove(candidate));
        let (inside, outside) = (candidate.flow.key, candidate.flow.to);
        is_removed.then(|| Killed {
            client: source(&inside),
            vip: source(&inside.turned()),
            source: source(&outside),
            backend: source(&outside.turned()),
            number,
        })
    }

    fn remove(self, candidate: &Candidate<'a>) -> bool {
        let found = at(self.table, candidate.hit.index)
            .filter(|now| now.tag.is_same_flow(candidate.hit.tag))
            .filter(|now| now.direction() == Direction::ToBackend)
            .filter(|now| {
                // It may have been established, or closed, since it was found.
                let state = ConnectionState::of(now.tag.flags_seen());
                state != ConnectionState::Closed && self.filter.admits_state(state)
            });
        found.is_some_and(|now| remove(self.table, now.index, now.tag, now.tag.freed(), self.now))
    }
}

fn source(key: &FlowKey) -> SocketAddrV4 {
    SocketAddrV4::new(key.src().into(), u16::from_be_bytes(key.src_port()))
}
