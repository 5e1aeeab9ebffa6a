//! Ends of connections, for the connection log.

use lb_common::{
    ended::{Cause, Ended},
    flow::{Direction, State, ticks},
    table::{Hit, mark_told},
};

use super::{Found, Sweep};
use crate::flows::ended;

/// Idle ticks, of a second, after which a closed connection's end is told: late copies have come by then.
const SETTLED: u32 = ticks::from_nanos(1_000_000_000);

impl<'a> Sweep<'a> {
    /// Tells of the end of a connection that has been closed for a moment, before it is removed. Returns the
    /// flow with its new tag.
    pub(super) fn tell_closed(&self, flow: Found<'a>) -> Found<'a> {
        let Some(tell) = self.ends.filter(|_| flow.direction() == Direction::ToBackend) else {
            return flow;
        };
        let is_closed = flow.state() == State::Closed && self.is_idle(flow, SETTLED);
        if is_closed == flow.tag.is_told() {
            return flow;
        }
        // It goes on after all, if it was told.
        let ended = is_closed.then(|| self.ended(flow, Cause::Expired)).flatten();
        if is_closed && ended.is_none() {
            return flow;
        }
        let Some(tag) = mark_told(flow, is_closed) else { return flow };
        if let Some(ended) = ended {
            tell(ended);
        }
        Hit { tag, ..flow }
    }

    fn ended(&self, flow: Found<'a>, cause: Cause) -> Option<Ended> {
        ended(self.table, self.accounts, flow, cause)
    }

    /// Removes a connection, and tells of its end.
    pub(super) fn end(&self, flow: Found<'a>, cause: Cause) -> bool {
        let Some(tell) = self.ends else { return self.remove(flow) };
        let ended = self.ended(flow, cause);
        let is_removed = self.remove(flow);
        if let Some(ended) = ended.filter(|_| is_removed) {
            tell(ended);
        }
        is_removed
    }
}
