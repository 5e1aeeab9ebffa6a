//! Backends' packets that change their connections' state: answers to a new connection, and
//! segments that end one.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    flow::{Progress, flags_seen},
    reason::Reason,
    stats::Incident,
    table::Entry as _,
    tcp::{self, Segment},
    wire::Headers,
};

use crate::{accounts, flow, flow::Hit, global::global, passive, service, stats, tcp_stats};

/// Updates a connection by a segment of its backend. Fails if its client must not see it.
#[inline(always)]
pub(crate) fn follow(headers: &Headers, hit: Hit, id: u32) -> Result<(), Reason> {
    if !tcp::is_possible(headers.tcp.flags) {
        return Err(Reason::BadFlags);
    }
    let (numbers, rest) = Segment::of(headers).words();
    match answer_follow(hit.index.0, hit.tag.word(), numbers, rest, id) {
        FOLLOWED => Ok(()),
        CONTENDED => Err(Reason::Contended),
        _ => Err(Reason::Refused),
    }
}

/// Results of [`answer_follow`] other than that the client must not see the segment.
const FOLLOWED: u32 = 0;
const CONTENDED: u32 = 2;

global! {
    fn answer_follow(index: u32, tag: u64, numbers: u64, rest: u32, id: u32) -> u32 {
        let Some(hit) = flow::found(index, tag) else { return FOLLOWED };
        let segment = Segment::of_words(numbers, rest);
        let is_refusal = note(hit, &segment, id);
        if is_refusal && is_tried_elsewhere(hit) {
            tcp_stats::refused(id);
            flow::refuse(hit);
            return 1;
        }
        flow::track(hit, &segment).map_or(CONTENDED, |_| FOLLOWED)
    }
}

/// Records a segment's meaning for its backend. Returns true if it refuses a connection.
#[inline(always)]
fn note(hit: Hit, segment: &Segment, id: u32) -> bool {
    let seen = hit.tag.flags_seen();
    if !segment.has(tcp::RST) || flags_seen::are_shaken(seen) {
        if segment.has(tcp::SYN) {
            passive::answered(id);
            if flags_seen::is_unanswered(seen) {
                tcp_stats::answered(hit.entry.pair());
                accounts::begin(hit.index);
            }
        }
        return false;
    }
    let progress = Progress { seen, number: hit.entry.extra(), other: 0 };
    let is_refusal = progress.is_refused_by(segment);
    if is_refusal {
        stats::incident(Incident::Refused);
        passive::refused(id);
        if flags_seen::is_unanswered(seen) {
            accounts::begin(hit.index);
        }
    }
    is_refusal
}

/// Returns true if a connection that its backend has refused is given another one.
#[inline(always)]
fn is_tried_elsewhere(hit: Hit) -> bool {
    let Some(service) = service::lookup(&flow::inside(hit)) else { return false };
    let refusals = flags_seen::refusals(hit.tag.flags_seen()) + 1;
    let is_last = refusals >= flags_seen::LAST_REFUSAL || u32::from(refusals) >= service.members;
    service.retries != 0 && !is_last
}
