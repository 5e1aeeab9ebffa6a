//! Connection attempts on known tuples: the same connection's, or a new one's.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    event::Kind,
    flow::{Direction, marks, ticks},
    halves::{high, join, low, low16},
    reason::Reason,
    stats::Incident,
    table::Line as _,
};

use crate::{events, flow, flow::Entry, passive, select, stats};

/// The connection that a packet belongs to.
pub(crate) enum Asked {
    Known(Entry),
    /// The packet belongs to no known connection.
    New(History),
}

/// History of a connection attempt: the backend that has refused it, or [`select::NOBODY`], and the
/// new connection's marks of the backends that have. In one word, as a packet's own path has little
/// stack.
#[derive(Clone, Copy, Default)]
pub(crate) struct History(u64);

impl History {
    const fn new(refused_by: u32, marks: u16) -> Self {
        Self(join(refused_by, marks as u32))
    }

    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) const fn marks(self) -> u16 {
        low16(high(self.0))
    }

    /// Returns true if a backend has refused the attempt, as far as is known: only the last two can
    /// be recognized, but by chance another backend is taken for the first of them.
    #[inline(always)]
    pub(crate) fn names(self, backend: u32) -> bool {
        backend == low(self.0) || marks::may_be_first_refuser(self.marks(), backend)
    }
}

/// Minimum time that a client's SYN must be unanswered, if its connection was answered before, for
/// the next one to be given another backend than one that has left its ring: less than a client's
/// first retransmission timeout of a second, and more than an answer takes.
const UNANSWERED: u32 = ticks::from_nanos(500_000_000);

/// Classifies a client's SYN on the tuple of this entry.
#[inline(always)]
pub(crate) fn ask(entry: Entry) -> Result<Asked, Reason> {
    let answer = again_ask(entry.place.0, entry.tag.word());
    match answer {
        KNOWN => Ok(Asked::Known(entry)),
        CONTENDED => Err(Reason::Contended),
        _ => Ok(Asked::New(History::from_word(answer))),
    }
}

/// Results instead of a history. No history has these values.
const KNOWN: u64 = u64::MAX;
const CONTENDED: u64 = u64::MAX - 1;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn again_ask(place: u32, tag: u64) -> u64 {
    let Some(entry) = flow::found(place, tag) else { return CONTENDED };
    match replaced(entry) {
        Ok(Some(history)) => history.word(),
        Ok(None) => KNOWN,
        Err(_) => CONTENDED,
    }
}

/// Returns the history of the connection that was replaced by the new one, if any.
#[inline(always)]
fn replaced(entry: Entry) -> Result<Option<History>, Reason> {
    let id = entry.line.backend();
    // An entry without a backend is handled elsewhere.
    let Some(backend) = select::backend(id) else { return Ok(None) };
    let marks = entry.tag.marks();
    let is_unanswered = marks::is_unanswered(marks);
    let is_gone = passive::is_silent(id, backend) && (is_unanswered || backend.is_down != 0)
        || backend.left != 0 && has_asked_in_vain(entry);
    if !flow::replace(entry, is_gone)? {
        if is_unanswered && matches!(entry.direction(), Direction::ToBackend) {
            events::of_backend(Kind::Silent, id);
        }
        return Ok(None);
    }
    let is_refused = marks & marks::REFUSED != 0;
    if is_refused || is_gone {
        stats::incident(Incident::Rescheduled);
    }
    if !is_refused {
        return Ok(Some(History::default()));
    }
    Ok(Some(History::new(id, marks::refused_by(marks, id))))
}

/// Returns true if a SYN was seen before, and nothing from the backend since. A backend that knows
/// the connection answers each SYN by a challenge ACK (RFC 5961, section 4).
#[inline(always)]
fn has_asked_in_vain(entry: Entry) -> bool {
    let idle = ticks::between(entry.line.seen(), flow::now());
    entry.tag.marks() & marks::ASKED != 0 && idle >= UNANSWERED
}
