//! Backends' packets that change their connections' state: answers to a new connection, and
//! segments that end one.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    flow::{Progress, marks},
    reason::Reason,
    stats::Incident,
    table::Line as _,
    tcp::{self, Segment},
    wire::Headers,
};

use crate::{flow, flow::Entry, passive, service, stats};

/// Updates a connection by a segment of its backend. Fails if its client must not see it.
#[inline(always)]
pub(crate) fn follow(headers: &Headers, entry: Entry, id: u32) -> Result<(), Reason> {
    if !tcp::is_possible(headers.tcp.flags) {
        return Err(Reason::BadFlags);
    }
    let (numbers, rest) = Segment::of(headers).words();
    if answer_follow(entry.place.0, entry.tag.word(), numbers, rest, id) != 0 {
        return Err(Reason::Refused);
    }
    Ok(())
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer_follow(place: u32, tag: u64, numbers: u64, rest: u32, id: u32) -> u32 {
    let Some(entry) = flow::found(place, tag) else { return 0 };
    let segment = Segment::of_words(numbers, rest);
    let is_refusal = note(entry, &segment, id);
    if is_refusal && is_tried_elsewhere(entry) {
        flow::refuse(entry);
        return 1;
    }
    flow::track(entry, &segment);
    0
}

/// Records a segment's meaning for its backend. Returns true if it refuses a connection.
#[inline(always)]
fn note(entry: Entry, segment: &Segment, id: u32) -> bool {
    let marks = entry.tag.marks();
    if !segment.has(tcp::RST) || marks::are_shaken(marks) {
        if segment.has(tcp::SYN) {
            passive::answered(id);
        }
        return false;
    }
    let progress = Progress { marks, number: entry.line.extra(), other: 0 };
    let is_refusal = progress.is_refused_by(segment);
    if is_refusal {
        stats::incident(Incident::Refused);
        passive::refused(id);
    }
    is_refusal
}

/// Returns true if a connection that its backend has refused is given another one.
#[inline(always)]
fn is_tried_elsewhere(entry: Entry) -> bool {
    let to_vip = entry.line.rewrite().to().turned();
    let Some(service) = service::lookup(&to_vip) else { return false };
    let refusals = marks::refusals(entry.tag.marks()) + 1;
    let is_last = refusals >= marks::LAST_REFUSAL || u32::from(refusals) >= service.members;
    service.retries != 0 && !is_last
}
