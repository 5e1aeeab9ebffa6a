//! New connections: both entries, and the source port.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    backend::Hop,
    flow::{FlowKey, State, marks, ticks},
    reason::Reason,
    snat::STRIDE,
    stats::Incident,
    table::{self, Hit, Line as _, Opening, Place, SILENCE, Unopened},
};

use super::{Entry, map::Flows, now};
use crate::{select, snat, stats};

/// How many source ports are tried for a connection.
const PORT_TRIES: u32 = 8;

/// How many ports of half-open connections are passed over in the hope of a free one.
const HALF_OPEN_PASSED: u32 = 2;

/// What a new connection is given.
pub(crate) struct New {
    pub(crate) backend: u32,
    /// The way back to its client.
    pub(crate) client: Hop,
    /// The client's initial sequence number.
    pub(crate) number: u32,
    /// How many backends have refused it.
    pub(crate) refusals: u16,
}

/// Makes the pair of a new connection and returns its entry towards the backend.
#[inline(always)]
pub(crate) fn open(key: &FlowKey, new: &New) -> Result<Entry, Reason> {
    let (addresses, ports) = key.as_words();
    let [first, rest] = new.client.words();
    let [ports, backend] = [(ports, new.number), (new.backend, new.refusals.into())]
        .map(|(low, high): (u32, u32)| u64::from(low) | u64::from(high) << 32);
    let opened = flow_open(addresses, ports, backend, first, rest);
    let place = unpack(opened)?;
    table::at(Flows, place).ok_or(Reason::Contended)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_open(addresses: u64, ports: u64, backend: u64, first: u64, rest: u64) -> u32 {
    let key = FlowKey::of_words(addresses, ports as u32);
    let client = Hop::of_words([first, rest]);
    let (number, refusals) = ((ports >> 32) as u32, (backend >> 32) as u16);
    pack(open_pair(&key, &New { backend: backend as u32, client, number, refusals }))
}

#[inline(always)]
fn open_pair(key: &FlowKey, new: &New) -> Result<Place, Reason> {
    let New { backend: id, client, number, refusals } = *new;
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    if backend.hop.ifindex() == 0 {
        return Err(Reason::Unreachable);
    }
    let (marks, now) = (marks::refused_by(refusals), now());
    let opening = Opening { inside: key, client, backend: id, marks, number, now };
    let mut turn = snat::turn(id).ok_or(Reason::Unreachable)?;
    let mut spare = Spare::default();
    for left in (0..=PORT_TRIES).rev() {
        let is_last = left == 0 || spare.is_enough();
        if is_last {
            turn = spare.turn().ok_or(Reason::PortsExhausted)?;
        }
        let outside = snat::drawn(turn, backend).ok_or(Reason::Unreachable)?;
        if is_last {
            take_port(&outside, now)?;
        }
        match table::open(Flows, &opening, &outside) {
            Err(Unopened::PortTaken) if !is_last => {
                stats::incident(Incident::PortClash);
                spare.note(turn, holder(&outside), now);
            }
            // It may have been in its own way: its other entry has claimed the line that its
            // bucket's mark is in. Another port has another bucket.
            Err(Unopened::Busy) if left == PORT_TRIES => {}
            result => return result.map(|entry| entry.place).map_err(Reason::from),
        }
        turn = turn.wrapping_add(STRIDE);
    }
    Err(Reason::PortsExhausted)
}

/// The draw whose port may best be taken back, of those whose ports are taken.
struct Spare {
    turn: u64,
    /// What its connection is worth; [`worth`] is less.
    worth: u64,
    half_opens: u32,
}

impl Default for Spare {
    #[inline(always)]
    fn default() -> Self {
        Self { turn: 0, worth: u64::MAX, half_opens: 0 }
    }
}

impl Spare {
    /// Notes a draw, and the connection that has its port.
    #[inline(always)]
    fn note(&mut self, turn: u64, holder: Option<Entry>, now: u32) {
        let Some(holder) = holder else { return };
        let state = holder.state();
        let idle = ticks::between(holder.line.seen(), now);
        if matches!(state, State::Established) && idle < SILENCE {
            return;
        }
        self.half_opens += u32::from(matches!(state, State::HalfOpen));
        // An early reuse may meet the backend's TIME-WAIT; a half-open connection costs nobody more
        // than another SYN.
        let worth = match state {
            State::HalfOpen => table::worth(State::Closed, idle),
            State::Closed => table::worth(State::HalfOpen, idle),
            _ => table::worth(state, idle),
        };
        if worth < self.worth {
            (self.turn, self.worth) = (turn, worth);
        }
    }

    /// Whether there are so many half-open connections that a look for a free port is in vain. The
    /// first draw's is the oldest, or nearly so: ports are drawn in rotation.
    #[inline(always)]
    fn is_enough(&self) -> bool {
        self.half_opens >= HALF_OPEN_PASSED
    }

    #[inline(always)]
    fn turn(&self) -> Option<u64> {
        (self.worth != u64::MAX).then_some(self.turn)
    }
}

/// The flow that has the source port of this tuple.
#[inline(always)]
fn holder(outside: &FlowKey) -> Option<Entry> {
    table::peek(Flows, &outside.turned())
}

/// Takes the source port of this tuple from its connection.
#[inline(always)]
fn take_port(outside: &FlowKey, now: u32) -> Result<(), Reason> {
    let Hit { place, tag, .. } = holder(outside).ok_or(Reason::Contended)?;
    if !super::steps::remove(place, tag, tag.freed(), now) {
        return Err(Reason::Contended);
    }
    stats::incident(match tag.state() {
        State::Closed => Incident::EarlyPortReuse,
        state => Incident::evicted(state),
    });
    Ok(())
}

/// More than any [`Place`].
const REFUSED: u32 = 1 << 31;

#[inline(always)]
fn pack(opened: Result<Place, Reason>) -> u32 {
    match opened {
        Ok(Place(place)) => place,
        Err(reason) => REFUSED | reason as u32,
    }
}

#[inline(always)]
fn unpack(opened: u32) -> Result<Place, Reason> {
    if opened & REFUSED == 0 {
        return Ok(Place(opened));
    }
    Err(match opened & !REFUSED {
        code if code == Reason::Unreachable as u32 => Reason::Unreachable,
        code if code == Reason::PortsExhausted as u32 => Reason::PortsExhausted,
        code if code == Reason::TableFull as u32 => Reason::TableFull,
        _ => Reason::Contended,
    })
}
