//! Connection attempts on known tuples: the same one's, or a new one's.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    event::Kind,
    flow::{Direction, marks},
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
    Anew(History),
}

/// What became of a connection attempt before.
#[derive(Clone, Copy, Default)]
pub(crate) struct History {
    /// The backend that has refused it, or [`select::NOBODY`].
    pub(crate) refused_by: u32,
    /// How many backends have.
    pub(crate) refusals: u16,
}

/// What a client's SYN on the tuple of this entry is.
#[inline(always)]
pub(crate) fn ask(entry: Entry) -> Result<Asked, Reason> {
    let answer = again_ask(entry.place.0, entry.tag.word());
    let (refused_by, refusals) = (low(answer), low16(high(answer)));
    match answer {
        KNOWN => Ok(Asked::Known(entry)),
        CONTENDED => Err(Reason::Contended),
        _ => Ok(Asked::Anew(History { refused_by, refusals })),
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
        Ok(Some(History { refused_by, refusals })) => join(refused_by, refusals.into()),
        Ok(None) => KNOWN,
        Err(_) => CONTENDED,
    }
}

/// The history of a connection that has made room for the new one, if it has.
#[inline(always)]
fn replaced(entry: Entry) -> Result<Option<History>, Reason> {
    let id = entry.line.backend();
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    let marks = entry.tag.marks();
    let is_unanswered = marks & marks::BACKEND_SYN == 0;
    let is_gone = passive::is_silent(id, backend) && (is_unanswered || backend.is_down != 0);
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
    Ok(Some(History { refused_by: id, refusals: marks::refusals(marks) + 1 }))
}
