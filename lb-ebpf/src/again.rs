//! Connection attempts on known tuples: the same connection's, or a new one's.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    event::Kind,
    flow::{Direction, flags_seen, ticks},
    reason::Reason,
    stats::Incident,
    table::Entry as _,
};

use crate::{
    backends, events, flow,
    flow::{Hit, Known},
    global::global,
    history::History,
    passive, stats, tcp_stats,
};

/// The connection that a packet belongs to.
pub(crate) enum Asked {
    Known(Known),
    /// The packet belongs to no known connection.
    New(History),
}

/// Minimum time that a client's SYN must be unanswered, if its connection was answered before, for
/// the next one to be given another backend than one that has left its ring: less than a client's
/// first retransmission timeout of a second, and more than an answer takes.
const UNANSWERED: u32 = ticks::from_nanos(500_000_000);

/// Minimum time after a backend's packet that it answers a SYN on its connection: twice of what Linux waits before
/// the next challenge ACK of a connection (`tcp_invalid_ratelimit`). Whoever spoofs SYNs in a row could
/// otherwise have a live backend seem silent.
const REPEATED: u32 = ticks::from_nanos(1_000_000_000);

/// Classifies a client's SYN on the tuple of this entry.
#[inline(always)]
pub(crate) fn ask(known: Known) -> Result<Asked, Reason> {
    let answer = again_ask(known.hit.index.0, known.hit.tag.word());
    match answer {
        KNOWN => Ok(Asked::Known(known)),
        CONTENDED => Err(Reason::Contended),
        _ => Ok(Asked::New(History::from_word(answer))),
    }
}

/// Results instead of a history. No history has these values.
const KNOWN: u64 = u64::MAX;
const CONTENDED: u64 = u64::MAX - 1;

global! {
    fn again_ask(index: u32, tag: u64) -> u64 {
        let Some(hit) = flow::found(index, tag) else { return CONTENDED };
        match replaced(hit) {
            Ok(Some(history)) => history.word(),
            Ok(None) => KNOWN,
            Err(_) => CONTENDED,
        }
    }
}

/// Returns the history of the connection that was replaced by the new one, if any.
#[inline(always)]
fn replaced(hit: Hit) -> Result<Option<History>, Reason> {
    let id = hit.entry.pair().backend();
    // An entry without a backend is handled elsewhere.
    let Some(backend) = backends::get(id) else { return Ok(None) };
    let seen = hit.tag.flags_seen();
    let is_unanswered = flags_seen::is_unanswered(seen);
    let is_gone = passive::is_silent(id, backend) && is_unanswered
        || backend.left != 0 && has_asked_in_vain(hit);
    if !flow::replace_closed(hit, is_gone)? {
        if matches!(hit.direction(), Direction::ToBackend) && !flags_seen::are_shaken(seen) {
            tcp_stats::syn_again(id);
            if is_unanswered {
                events::of_backend(Kind::Silent, id);
            }
        }
        return Ok(None);
    }
    let is_refused = flags_seen::is_refused(seen);
    if is_refused || is_gone {
        stats::incident(Incident::Rescheduled);
    }
    if !is_refused {
        return Ok(Some(History::default()));
    }
    Ok(Some(History::new(id, flags_seen::refused_by(seen, id))))
}

/// Returns true if a SYN was seen before, and nothing from the backend since, although it had said nothing for a
/// while before that. A backend that knows the connection answers a SYN by a challenge ACK (RFC 5961, section
/// 4), but not several in a row: see [`REPEATED`].
#[inline(always)]
fn has_asked_in_vain(hit: Hit) -> bool {
    if hit.tag.flags_seen() & flags_seen::ASKED == 0 {
        return false;
    }
    let asked = hit.entry.last_seen();
    ticks::between(asked, flow::now()) >= UNANSWERED
        && ticks::between(flow::last_heard(hit), asked) >= REPEATED
}
