//! Steps of the table's algorithm as global functions, whose arguments are plain numbers: the
//! verifier looks at each of them once, whatever it is called with, instead of once a call.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    backend::Hop,
    flow::FlowKey,
    halves::low16,
    table::{self, Busy, Chosen, Hash, Hit, Place, Survey, Tag, Victims},
    tcp::Segment,
};

use super::{Entry, map::Flows};

#[inline(always)]
pub(super) fn search(hash: Hash, key: &FlowKey, choice: u32) -> Place {
    let (addresses, ports) = key.as_words();
    Place(flow_search(hash.0, addresses, ports, choice))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_search(hash: u64, addresses: u64, ports: u32, choice: u32) -> u32 {
    table::search(Flows, Hash(hash), &FlowKey::of_words(addresses, ports), choice).0
}

#[inline(always)]
pub(super) fn claim(key: &FlowKey, now: u32) -> Place {
    let (addresses, ports) = key.as_words();
    Place(flow_claim(addresses, ports, now))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_claim(addresses: u64, ports: u32, now: u32) -> u32 {
    table::claim(Flows, &FlowKey::of_words(addresses, ports), now).0
}

#[inline(always)]
pub(super) fn choose(hash: Hash, key: &FlowKey, now: u32, choice: u32) -> Chosen {
    let (addresses, ports) = key.as_words();
    Chosen::from_word(flow_choose(hash.0, addresses, ports, now, choice))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_choose(hash: u64, addresses: u64, ports: u32, now: u32, choice: u32) -> u64 {
    let key = FlowKey::of_words(addresses, ports);
    table::choose(Flows, Hash(hash), &key, now, choice).word()
}

#[inline(always)]
pub(super) fn survey(bucket: u32, hash: Hash, key: &FlowKey) -> Survey {
    let (addresses, ports) = key.as_words();
    Survey::from_word(flow_survey(bucket, hash.0, addresses, ports))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_survey(bucket: u32, hash: u64, addresses: u64, ports: u32) -> u32 {
    table::survey(Flows, bucket, Hash(hash), &FlowKey::of_words(addresses, ports)).word()
}

#[inline(always)]
pub(super) fn has_twin(place: Place, hash: Hash, key: &FlowKey) -> bool {
    let (addresses, ports) = key.as_words();
    flow_has_twin(place.0, hash.0, addresses, ports) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_has_twin(place: u32, hash: u64, addresses: u64, ports: u32) -> u32 {
    table::has_twin(Flows, Place(place), Hash(hash), &FlowKey::of_words(addresses, ports)).into()
}

#[inline(always)]
pub(super) fn victim(bucket: u32, now: u32, victims: Victims) -> Chosen {
    Chosen::from_word(flow_victim(bucket, now, victims as u32))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_victim(bucket: u32, now: u32, victims: u32) -> u64 {
    table::victim(Flows, bucket, now, Victims::from_number(victims)).word()
}

#[inline(always)]
pub(super) fn remove(place: Place, tag: Tag, to: Tag, now: u32) -> bool {
    flow_remove(place.0, tag.word(), to.word(), now) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_remove(place: u32, tag: u64, to: u64, now: u32) -> u32 {
    table::remove(Flows, Place(place), Tag::from_word(tag), Tag::from_word(to), now).into()
}

#[inline(always)]
pub(super) fn revive(place: Place, tag: Tag) -> bool {
    flow_revive(place.0, tag.word()) != 0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_revive(place: u32, tag: u64) -> u32 {
    table::revive(Flows, Place(place), Tag::from_word(tag)).into()
}

#[inline(always)]
pub(super) fn track(entry: Entry, segment: &Segment) -> u16 {
    let (numbers, rest) = segment.words();
    low16(flow_track(entry.place.0, entry.tag.word(), numbers, rest))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_track(place: u32, tag: u64, numbers: u64, rest: u32) -> u32 {
    let Some(entry) = entry(place, tag) else { return Tag::from_word(tag).marks().into() };
    table::track(Flows, entry, &Segment::of_words(numbers, rest), super::now()).into()
}

#[inline(always)]
pub(super) fn refuse(entry: Entry) {
    flow_refuse(entry.place.0, entry.tag.word());
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_refuse(place: u32, tag: u64) -> u32 {
    if let Some(entry) = entry(place, tag) {
        table::refuse(Flows, entry);
    }
    0
}

#[inline(always)]
pub(super) fn relearn(entry: Entry, client: Hop) -> Tag {
    let [first, rest] = client.words();
    Tag::from_word(flow_relearn(entry.place.0, entry.tag.word(), first, rest))
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_relearn(place: u32, tag: u64, first: u64, rest: u64) -> u64 {
    let client = Hop::of_words([first, rest]);
    entry(place, tag).map_or(tag, |entry| table::relearn(Flows, entry, client).word())
}

#[inline(always)]
pub(super) fn replace(entry: Entry, is_abandoned: bool, now: u32) -> Result<bool, Busy> {
    match flow_replace(entry.place.0, entry.tag.word(), is_abandoned.into(), now) {
        BUSY => Err(Busy),
        replaced => Ok(replaced != 0),
    }
}

const BUSY: u32 = 2;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn flow_replace(place: u32, tag: u64, is_abandoned: u32, now: u32) -> u32 {
    let Some(entry) = entry(place, tag) else { return BUSY };
    table::replace(Flows, entry, is_abandoned != 0, now).map_or(BUSY, u32::from)
}

/// The flow that was found with this tag at this place.
#[inline(always)]
pub(super) fn entry(place: u32, tag: u64) -> Option<Entry> {
    let found = table::at(Flows, Place(place))?;
    Some(Hit { tag: Tag::from_word(tag), ..found })
}
