//! A source port for a connection whose first draw was taken.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    flow::{State, flags_seen, ticks},
    halves::low,
    reason::Reason,
    snat::{TRIES, draw_of, neighbours_passed},
    stats::Incident,
    table::{self, Busy, Entry as _, SILENCE, Storage as _, Table as _},
};

use super::{Hit, map::Flows, now};
use crate::{backends, global::global, snat, stats, trail, variant::IS_DRY};

/// Number of ports of half-open connections that are passed over in the hope of a free one.
const HALF_OPEN_PASSED: u32 = 2;

/// Returns a draw whose port is free, beginning with a backend's own. If there is none, takes the port
/// of the connection that is worth least, of those that were tried.
#[inline(always)]
pub(crate) fn find(backend: u32, draw: u32) -> Result<u32, Reason> {
    match port_find(backend, draw) {
        NONE => Err(Reason::PortsExhausted),
        LOST => Err(Reason::Contended),
        draw => Ok(draw),
    }
}

/// Results of [`port_find`] other than a draw.
const NONE: u32 = u32::MAX;
const LOST: u32 = u32::MAX - 1;

global! {
    fn port_find(id: u32, draw: u32) -> u32 {
        let Some(pairs) = snat::pairs(id) else { return NONE };
        let now = now();
        let mut spare = Spare::default();
        for attempt in 0..TRIES {
            if spare.is_enough() {
                break;
            }
            let tried = draw_of(draw, attempt, pairs);
            let worth = port_worth(id, tried, now);
            if worth == WORTH_OF_FREE {
                skip_neighbours(id, attempt);
                return tried;
            }
            stats::incident(Incident::PortClash);
            spare.note(attempt, worth);
        }
        let Some(attempt) = spare.attempt() else { return NONE };
        skip_neighbours(id, attempt);
        let tried = draw_of(draw, attempt, pairs);
        if port_take(id, tried, now) == 0 { LOST } else { tried }
    }

    fn port_worth(id: u32, draw: u32, now: u32) -> u64 {
        match holder(id, draw) {
            Ok(Some(holder)) => worth_of(holder, now),
            Ok(None) => WORTH_OF_FREE,
            Err(Busy) => WORTH_OF_NOBODY,
        }
    }

    fn port_take(id: u32, draw: u32, now: u32) -> u32 {
        let Ok(holder) = holder(id, draw) else { return 0 };
        let Some(holder) = holder else { return 1 };
        // It may have been established since it was chosen.
        if worth_of(holder, now) >= WORTH_OF_NOBODY {
            return 0;
        }
        let table::Hit { index, tag, .. } = holder;
        Flows.note_end(index, tag);
        if !Flows.remove(index, tag, tag.freed(), now) {
            return 0;
        }
        stats::incident(match tag.state() {
            State::Closed => Incident::EarlyPortReuse,
            state => Incident::evicted(state),
        });
        1
    }
}

/// Leaves out those of the backend's next draws that were tried before this attempt.
#[inline(always)]
fn skip_neighbours(id: u32, attempt: u32) {
    let passed = neighbours_passed(attempt);
    if passed != 0 {
        snat::skip(id, passed);
    }
}

/// The draw whose port is the best to take, of those whose ports are in use.
struct Spare {
    /// The worth of its connection, and below that the number of the attempt.
    best: u64,
    half_opens: u32,
}

impl Default for Spare {
    #[inline(always)]
    fn default() -> Self {
        Self { best: u64::MAX, half_opens: 0 }
    }
}

impl Spare {
    /// Considers a draw, and the worth of the connection that has its port.
    #[inline(always)]
    fn note(&mut self, attempt: u32, worth: u64) {
        // Counted without a branch, each side of which the verifier would follow to the end.
        self.half_opens += (worth.wrapping_sub(LEAST_CLOSED) >> 63) as u32;
        let worth =
            if worth < LEAST_CLOSED && attempt == 0 { worth_of_first(worth) } else { worth };
        if worth < WORTH_OF_NOBODY {
            self.best = self.best.min(worth << ATTEMPT_BITS | u64::from(attempt));
        }
    }

    /// Returns true if there are so many half-open connections that no free port is to be expected.
    #[inline(always)]
    fn is_enough(&self) -> bool {
        self.half_opens >= HALF_OPEN_PASSED
    }

    #[inline(always)]
    fn attempt(&self) -> Option<u32> {
        let attempt = low(self.best) & ((1 << ATTEMPT_BITS) - 1);
        (self.best != u64::MAX).then_some(attempt)
    }
}

/// Returns the worth of the first draw's half-open connection: as if it was idle for twice as long.
/// Ports are drawn in rotation, so it is the oldest, and would not be for long if younger ones of other
/// draws went before it; unless another backend id shares the ports, and has just drawn this one.
#[inline(always)]
const fn worth_of_first(worth: u64) -> u64 {
    let idle = LEAST_CLOSED - 1 - worth;
    worth.saturating_sub(idle)
}

/// Number of bits of an attempt's number.
const ATTEMPT_BITS: u32 = 4;

/// Greater than the worth of any connection: its port must not be taken.
const WORTH_OF_NOBODY: u64 = 1 << 40;

/// Of a port that no connection has.
const WORTH_OF_FREE: u64 = u64::MAX;

/// The least worth of a closed connection's port, above all half-open ones.
const LEAST_CLOSED: u64 = 1 << 32;

#[inline(always)]
fn worth_of(holder: Hit, now: u32) -> u64 {
    let is_quarantined = holder.tag.flags_seen() & flags_seen::QUARANTINED != 0;
    if IS_DRY && !is_quarantined && trail::replaces(&holder.partner_key(Flows)) {
        // Its quarantine would have just begun.
        return worth_of_port(State::Closed, 0);
    }
    worth_of_port(holder.state(), ticks::between(holder.entry.last_seen(), now))
}

#[inline(always)]
const fn worth_of_port(state: State, idle: u32) -> u64 {
    match state {
        State::Established if idle < SILENCE => WORTH_OF_NOBODY,
        // An early reuse may meet the backend's TIME-WAIT; a half-open connection costs nobody more
        // than another SYN.
        State::HalfOpen => table::worth(State::Closed, idle),
        State::Closed => table::worth(State::HalfOpen, idle),
        state => table::worth(state, idle),
    }
}

/// Returns the flow that has the source port of this draw, unless it is being written.
#[inline(always)]
fn holder(id: u32, draw: u32) -> Result<Option<Hit>, Busy> {
    let Some(outside) = backends::get(id).and_then(|backend| snat::outside(backend, draw)) else {
        return Ok(None);
    };
    table::seek(Flows, &outside.turned())
}
