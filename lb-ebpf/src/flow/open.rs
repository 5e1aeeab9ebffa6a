//! New connections: both entries, and the source port.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    backend::Hop,
    flow::{FlowKey, State, marks},
    reason::Reason,
    snat::STRIDE,
    stats::Incident,
    table::{self, Hit, Opening, Place, Unopened},
};

use super::{Entry, map::Flows, now};
use crate::{select, snat, stats};

/// How many source ports are tried for a connection.
const PORT_TRIES: u32 = 8;

/// How many ports of half-open connections are passed over in the hope of a free one.
const HALF_OPEN_PASSED: u32 = 2;

/// Makes the pair of a new connection and returns its entry towards the backend.
#[inline(always)]
pub(crate) fn open(key: &FlowKey, backend: u32, client: Hop) -> Result<Entry, Reason> {
    let (addresses, ports) = key.as_words();
    let [first, rest] = client.words();
    let opened = flow_open(addresses, ports, backend, first, rest);
    let place = unpack(opened)?;
    table::at(Flows, place).ok_or(Reason::Contended)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_open(addresses: u64, ports: u32, backend: u32, first: u64, rest: u64) -> u32 {
    let key = FlowKey::of_words(addresses, ports);
    pack(open_pair(&key, backend, Hop::of_words([first, rest])))
}

#[inline(always)]
fn open_pair(key: &FlowKey, id: u32, client: Hop) -> Result<Place, Reason> {
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    if backend.hop.ifindex() == 0 {
        return Err(Reason::Unreachable);
    }
    let opening =
        Opening { inside: key, client, backend: id, marks: marks::CLIENT_SYN, now: now() };
    let mut turn = snat::turn(id).ok_or(Reason::Unreachable)?;
    let mut spare = Spare::default();
    for left in (0..=PORT_TRIES).rev() {
        let is_last = left == 0 || spare.is_enough();
        if is_last {
            turn = spare.turn().ok_or(Reason::PortsExhausted)?;
        }
        let outside = snat::drawn(turn, backend).ok_or(Reason::Unreachable)?;
        if is_last {
            take_port(&outside, opening.now)?;
        }
        match table::open(Flows, &opening, &outside) {
            Err(Unopened::PortTaken) if !is_last => {
                stats::incident(Incident::PortClash);
                spare.note(turn, holder(&outside).map(|entry| entry.state()));
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

/// Draws whose ports are taken, but could be taken back.
#[derive(Default)]
struct Spare {
    /// The last draw, if there were any.
    half_open: u64,
    half_opens: u32,
    /// As `half_open`.
    rested: u64,
    resteds: u32,
}

impl Spare {
    #[inline(always)]
    fn note(&mut self, turn: u64, holder: Option<State>) {
        match holder {
            Some(State::HalfOpen) => {
                self.half_open = turn;
                self.half_opens += 1;
            }
            Some(State::Closed) => {
                self.rested = turn;
                self.resteds += 1;
            }
            _ => {}
        }
    }

    /// Whether there are so many half-open connections that a look for a free port is in vain.
    #[inline(always)]
    fn is_enough(&self) -> bool {
        self.half_opens >= HALF_OPEN_PASSED
    }

    #[inline(always)]
    fn turn(&self) -> Option<u64> {
        if self.half_opens > 0 {
            return Some(self.half_open);
        }
        (self.resteds > 0).then_some(self.rested)
    }
}

/// The flow that has the source port of this tuple.
#[inline(always)]
fn holder(outside: &FlowKey) -> Option<Entry> {
    table::peek(Flows, &outside.turned())
}

/// Takes the source port of this tuple from its connection, which has ended or not yet begun.
#[inline(always)]
fn take_port(outside: &FlowKey, now: u32) -> Result<(), Reason> {
    let Hit { place, tag, .. } = holder(outside).ok_or(Reason::Contended)?;
    let incident = match tag.state() {
        State::HalfOpen => Incident::EvictedHalfOpen,
        State::Closed => Incident::EarlyPortReuse,
        _ => return Err(Reason::Contended),
    };
    if !super::steps::remove(place, tag, tag.freed(), now) {
        return Err(Reason::Contended);
    }
    stats::incident(incident);
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
