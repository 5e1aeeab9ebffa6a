//! New connections: both entries, and the source port.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    backend::Hop,
    flow::{FlowKey, State, ticks},
    halves::{high, join, low, low16},
    reason::Reason,
    snat::{TRIES, neighbours_passed},
    stats::Incident,
    table::{self, Hit, Line as _, Opening, Place, SILENCE, Unopened},
};

use super::{Entry, map::Flows, now};
use crate::{select, snat, stats};

/// How many ports of half-open connections are passed over in the hope of a free one.
const HALF_OPEN_PASSED: u32 = 2;

/// What a new connection is given.
pub(crate) struct New {
    pub(crate) backend: u32,
    /// The way back to its client.
    pub(crate) client: Hop,
    /// The client's initial sequence number.
    pub(crate) number: u32,
    /// What is known of it from before.
    pub(crate) marks: u16,
}

/// Makes the pair of a new connection and returns its entry towards the backend.
#[inline(always)]
pub(crate) fn open(key: &FlowKey, new: &New) -> Result<Entry, Reason> {
    let (addresses, ports) = key.as_words();
    let [first, rest] = new.client.words();
    let [ports, backend] = [(ports, new.number), (new.backend, new.marks.into())]
        .map(|(low, high): (u32, u32)| join(low, high));
    let opened = flow_open(addresses, ports, backend, first, rest);
    let place = unpack(opened)?;
    table::at(Flows, place).ok_or(Reason::Contended)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_open(addresses: u64, ports: u64, backend: u64, first: u64, rest: u64) -> u32 {
    let key = FlowKey::of_words(addresses, low(ports));
    let client = Hop::of_words([first, rest]);
    let (number, marks) = (high(ports), low16(high(backend)));
    pack(open_pair(&key, &New { backend: low(backend), client, number, marks }))
}

#[inline(always)]
fn open_pair(key: &FlowKey, new: &New) -> Result<Place, Reason> {
    let New { backend: id, client, number, marks } = *new;
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    if backend.hop.ifindex() == 0 {
        return Err(Reason::Unreachable);
    }
    let now = now();
    let opening = Opening { inside: key, client, backend: id, marks, number, now };
    let first = snat::turn(id).ok_or(Reason::Unreachable)?;
    let mut spare = Spare::default();
    for attempt in 0..TRIES {
        if spare.is_enough() {
            break;
        }
        let outside = snat::drawn(first, attempt, id).ok_or(Reason::Unreachable)?;
        match table::open(Flows, &opening, &outside) {
            Err(Unopened::PortTaken) => {
                stats::incident(Incident::PortClash);
                spare.note(attempt, worth_of_holder(&outside, now));
            }
            // It may have been in its own way: its other entry has claimed the line that its
            // bucket's mark is in. Another port has another bucket.
            Err(Unopened::Busy) if attempt == 0 => {}
            result => return opened(id, attempt, result),
        }
    }
    let attempt = spare.attempt().ok_or(Reason::PortsExhausted)?;
    let outside = snat::drawn(first, attempt, id).ok_or(Reason::Unreachable)?;
    take_port(&outside, now)?;
    opened(id, attempt, table::open(Flows, &opening, &outside))
}

/// What came of a try that is the last one.
#[inline(always)]
fn opened(id: u32, attempt: u32, result: Result<Entry, Unopened>) -> Result<Place, Reason> {
    skip_neighbours(id, attempt);
    Ok(result?.place)
}

/// Leaves out those of a backend's next draws that a connection has met which got a port at this try.
#[inline(always)]
fn skip_neighbours(id: u32, attempt: u32) {
    let passed = neighbours_passed(attempt);
    if passed != 0 {
        port_skip(id, passed);
    }
}

/// A function of its own, as `flow_open` has no stack left for it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn port_skip(id: u32, draws: u32) -> u32 {
    snat::skip(id, draws);
    0
}

/// The draw whose port may best be taken back, of those whose ports are taken.
struct Spare {
    /// What its connection is worth; [`worth_of_holder`], and below that which attempt it was.
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
    /// Notes a draw, and what the connection that has its port is worth.
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

    /// Whether there are so many half-open connections that a look for a free port is in vain.
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

/// What the first draw's half-open connection is worth: as if it was silent for twice as long. Ports
/// are drawn in rotation, so it is the oldest, and would not be for long if younger ones of other draws
/// went before it; unless another backend id shares the ports, and has just drawn this one.
#[inline(always)]
const fn worth_of_first(worth: u64) -> u64 {
    let idle = LEAST_CLOSED - 1 - worth;
    worth.saturating_sub(idle)
}

/// Bits that an attempt's number takes.
const ATTEMPT_BITS: u32 = 4;

/// More than any connection is worth.
const WORTH_OF_NOBODY: u64 = 1 << 40;

/// What the worth of a closed connection's port begins at, above all half-open ones'.
const LEAST_CLOSED: u64 = 1 << 32;

/// What the connection is worth that has the source port of this tuple; [`WORTH_OF_NOBODY`] if it must
/// not be taken.
#[inline(always)]
fn worth_of_holder(outside: &FlowKey, now: u32) -> u64 {
    let (addresses, ports) = outside.as_words();
    port_worth(addresses, ports, now)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn port_worth(addresses: u64, ports: u32, now: u32) -> u64 {
    let holder = holder(&FlowKey::of_words(addresses, ports));
    holder.map_or(WORTH_OF_NOBODY, |holder| worth_of(holder, now))
}

#[inline(always)]
fn worth_of(holder: Entry, now: u32) -> u64 {
    let idle = ticks::between(holder.line.seen(), now);
    match holder.state() {
        State::Established if idle < SILENCE => WORTH_OF_NOBODY,
        // An early reuse may meet the backend's TIME-WAIT; a half-open connection costs nobody more
        // than another SYN.
        State::HalfOpen => table::worth(State::Closed, idle),
        State::Closed => table::worth(State::HalfOpen, idle),
        state => table::worth(state, idle),
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
    let (addresses, ports) = outside.as_words();
    if port_take(addresses, ports, now) == 0 { Err(Reason::Contended) } else { Ok(()) }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn port_take(addresses: u64, ports: u32, now: u32) -> u32 {
    let Some(holder) = holder(&FlowKey::of_words(addresses, ports)) else { return 0 };
    // It may have been established since it was chosen.
    if worth_of(holder, now) >= WORTH_OF_NOBODY {
        return 0;
    }
    let Hit { place, tag, .. } = holder;
    if !super::steps::remove(place, tag, tag.freed(), now) {
        return 0;
    }
    stats::incident(match tag.state() {
        State::Closed => Incident::EarlyPortReuse,
        state => Incident::evicted(state),
    });
    1
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
