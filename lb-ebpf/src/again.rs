//! Connection attempts on known tuples: the same one's, or a new one's.

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

/// Which connection a packet is of.
pub(crate) enum Asked {
    Known(Entry),
    /// Of none, if it does not open one.
    New(History),
}

/// What became of a connection attempt before: the backend that has refused it, or
/// [`select::NOBODY`], and what the new connection's marks say of those that have. In one word, as a
/// packet's own path has little stack.
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

    /// Whether a backend is one of those that have refused, as far as is known: the last two can be
    /// told, but by chance another one is taken for the first of them.
    #[inline(always)]
    pub(crate) fn names(self, backend: u32) -> bool {
        backend == low(self.0) || marks::may_be_first_refuser(self.marks(), backend)
    }
}

/// How long a client's SYN must have been unanswered, if its connection was answered before, for the
/// next one to be given another backend than one that has left its ring: less than the second after
/// which a client sends it again, and more than an answer takes.
const UNANSWERED: u32 = ticks::from_nanos(500_000_000);

/// What a client's SYN on the tuple of this entry is.
#[inline(always)]
pub(crate) fn ask(entry: Entry) -> Result<Asked, Reason> {
    let answer = again_ask(entry.place.0, entry.tag.word());
    match answer {
        KNOWN => Ok(Asked::Known(entry)),
        CONTENDED => Err(Reason::Contended),
        _ => Ok(Asked::New(History::from_word(answer))),
    }
}

/// What is said instead of a history. None is so long.
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

/// The history of a connection that has made room for the new one, if it has.
#[inline(always)]
fn replaced(entry: Entry) -> Result<Option<History>, Reason> {
    let id = entry.line.backend();
    // What there is no backend of is for others to name.
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

/// Whether a SYN has gone by before, and nothing from the backend since. A backend that knows the
/// connection answers each by a challenge ACK (RFC 5961, section 4).
#[inline(always)]
fn has_asked_in_vain(entry: Entry) -> bool {
    let idle = ticks::between(entry.line.seen(), flow::now());
    entry.tag.marks() & marks::ASKED != 0 && idle >= UNANSWERED
}
