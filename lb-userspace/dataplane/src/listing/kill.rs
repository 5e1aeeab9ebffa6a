//! Removal of connections.

use std::{net::SocketAddrV4, ops::ControlFlow};

use lb_common::{
    ended::{Cause, Ended},
    flow::{Direction, FlowKey},
    table::{Entry as _, at, partner, remove},
};
use lb_model::connections::ConnectionState;

use super::{Candidate, Search};
use crate::flows::ended;

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
    /// The connection, as the connection log tells it, if its end is to be told.
    pub ended: Option<Ended>,
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
        let mut ended = None;
        if !(0..TRIES).any(|_| self.remove(candidate, &mut ended)) {
            return None;
        }
        let (inside, outside) = (candidate.flow.key, candidate.flow.to);
        Some(Killed {
            client: source(&inside),
            vip: source(&inside.turned()),
            source: source(&outside),
            backend: source(&outside.turned()),
            number,
            ended,
        })
    }

    fn remove(self, candidate: &Candidate<'a>, as_ended: &mut Option<Ended>) -> bool {
        let found = at(self.table, candidate.hit.index)
            .filter(|now| now.tag.is_same_flow(candidate.hit.tag))
            .filter(|now| now.direction() == Direction::ToBackend)
            .filter(|now| {
                // It may have been established, or closed, since it was found.
                let state = ConnectionState::of(now.tag.flags_seen());
                state != ConnectionState::Closed && self.filter.admits_state(state)
            });
        let Some(now) = found else { return false };
        *as_ended = ended(self.table, self.accounts, now, Cause::Killed);
        remove(self.table, now.index, now.tag, now.tag.freed(), self.now)
    }
}

fn source(key: &FlowKey) -> SocketAddrV4 {
    SocketAddrV4::new(key.src().into(), u16::from_be_bytes(key.src_port()))
}
