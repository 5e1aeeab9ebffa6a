//! Steps of the table's algorithm as global functions with plain numbers as arguments.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use lb_common::{
    ended::Cause,
    flow::FlowKey,
    halves::low16,
    table::{self, Busy, Chosen, Entry as _, Hash, Index, Survey, Table, Tag, Victims},
    tcp::Segment,
};

use super::{Hit, ended, map::Flows};
use crate::{global::global, tcp_stats, variant::IS_DRY};

impl Table for Flows {
    #[inline(always)]
    fn search(self, hash: Hash, key: &FlowKey, choice: u32) -> Index {
        let (addresses, ports) = key.as_words();
        Index(flow_search(hash.0, addresses, ports, choice))
    }

    #[inline(always)]
    fn search_further(self, hash: Hash, key: &FlowKey) -> Index {
        let (addresses, ports) = key.as_words();
        Index(flow_search_further(hash.0, addresses, ports))
    }

    #[inline(always)]
    fn claim_elsewhere(self, key: &FlowKey) -> Index {
        let (addresses, ports) = key.as_words();
        Index(flow_claim_elsewhere(addresses, ports))
    }

    #[inline(always)]
    fn claim_crowded(self, key: &FlowKey, now: u32) -> Index {
        let (addresses, ports) = key.as_words();
        Index(flow_claim_crowded(addresses, ports, now))
    }

    #[inline(always)]
    fn claim_unneeded(self, key: &FlowKey, now: u32) -> Index {
        let (addresses, ports) = key.as_words();
        Index(flow_claim_unneeded(addresses, ports, now))
    }

    #[inline(always)]
    fn choose(self, hash: Hash, key: &FlowKey, now: u32, look: u32) -> Chosen {
        let (addresses, ports) = key.as_words();
        Chosen::from_word(flow_choose(hash.0, addresses, ports, now, look))
    }

    #[inline(always)]
    fn extend(self, hash: Hash, reach: u32) -> bool {
        flow_extend(hash.0, reach) != 0
    }

    #[inline(always)]
    fn survey(self, bucket: u32, hash: Hash, key: &FlowKey) -> Survey {
        let (addresses, ports) = key.as_words();
        Survey::from_word(flow_survey(bucket, hash.0, addresses, ports))
    }

    #[inline(always)]
    fn has_duplicate(self, index: Index, hash: Hash, key: &FlowKey) -> bool {
        let (addresses, ports) = key.as_words();
        flow_has_duplicate(index.0, hash.0, addresses, ports) != 0
    }

    #[inline(always)]
    fn least_worth(self, first: Index, now: u32, victims: Victims) -> u64 {
        flow_least_worth(first.0, now, victims as u32)
    }

    // A dry run removes nothing, and has no room on the stack for this step.
    #[inline(always)]
    fn remove(self, index: Index, tag: Tag, to: Tag, now: u32) -> bool {
        IS_DRY || flow_remove(index.0, tag.word(), to.word(), now) != 0
    }

    #[inline(always)]
    fn revive(self, index: Index, tag: Tag) -> Result<bool, Busy> {
        match flow_revive(index.0, tag.word()) {
            BUSY => Err(Busy),
            revived => Ok(revived != 0),
        }
    }
}

global! {
    fn flow_search(hash: u64, addresses: u64, ports: u32, choice: u32) -> u32 {
        table::search(Flows, Hash(hash), &FlowKey::of_words(addresses, ports), choice).0
    }

    fn flow_search_further(hash: u64, addresses: u64, ports: u32) -> u32 {
        table::search_further(Flows, Hash(hash), &FlowKey::of_words(addresses, ports)).0
    }

    fn flow_claim_elsewhere(addresses: u64, ports: u32) -> u32 {
        table::claim_elsewhere(Flows, &FlowKey::of_words(addresses, ports)).0
    }

    fn flow_claim_crowded(addresses: u64, ports: u32, now: u32) -> u32 {
        table::claim_crowded(Flows, &FlowKey::of_words(addresses, ports), now).0
    }

    fn flow_claim_unneeded(addresses: u64, ports: u32, now: u32) -> u32 {
        table::claim_unneeded(Flows, &FlowKey::of_words(addresses, ports), now).0
    }

    fn flow_choose(hash: u64, addresses: u64, ports: u32, now: u32, look: u32) -> u64 {
        let key = FlowKey::of_words(addresses, ports);
        table::choose(Flows, Hash(hash), &key, now, look).word()
    }

    fn flow_extend(hash: u64, reach: u32) -> u32 {
        table::extend(Flows, Hash(hash), reach).into()
    }

    fn flow_survey(bucket: u32, hash: u64, addresses: u64, ports: u32) -> u32 {
        table::survey(Flows, bucket, Hash(hash), &FlowKey::of_words(addresses, ports)).word()
    }

    fn flow_has_duplicate(index: u32, hash: u64, addresses: u64, ports: u32) -> u32 {
        let key = FlowKey::of_words(addresses, ports);
        table::has_duplicate(Flows, Index(index), Hash(hash), &key).into()
    }

    fn flow_least_worth(first: u32, now: u32, victims: u32) -> u64 {
        table::least_worth(Flows, Index(first), now, Victims::from_number(victims))
    }

    fn flow_remove(index: u32, tag: u64, to: u64, now: u32) -> u32 {
        let (tag, to) = (Tag::from_word(tag), Tag::from_word(to));
        let is_removed = table::remove(Flows, Index(index), tag, to, now);
        if is_removed {
            ended::tell(Cause::Evicted);
        }
        is_removed.into()
    }

    fn flow_revive(index: u32, tag: u64) -> u32 {
        table::revive(Flows, Index(index), Tag::from_word(tag)).map_or(BUSY, u32::from)
    }

    fn flow_track(index: u32, tag: u64, numbers: u64, rest: u32) -> u32 {
        let Some(hit) = hit(index, tag) else { return Tag::from_word(tag).flags_seen().into() };
        // Afterwards the entry may be another connection's.
        let backend = hit.entry.pair().backend();
        let Ok(seen) = table::track(Flows, hit, &Segment::of_words(numbers, rest)) else {
            return UNTRACKED;
        };
        tcp_stats::tracked(backend, hit.tag.flags_seen(), seen);
        seen.into()
    }

    fn flow_refuse(index: u32, tag: u64) -> u32 {
        if let Some(hit) = hit(index, tag) {
            table::refuse(Flows, hit);
        }
        0
    }

    fn flow_update_client_hop(index: u32, tag: u64, hop: u32) -> u64 {
        hit(index, tag).map_or(tag, |hit| table::update_client_hop(Flows, hit, hop).word())
    }

    fn flow_replace_closed(index: u32, tag: u64, is_abandoned: u32, now: u32) -> u32 {
        let Some(hit) = hit(index, tag) else { return BUSY };
        let replaced = table::replace_closed(Flows, hit, is_abandoned != 0, now);
        if replaced == Ok(true) {
            ended::tell(Cause::Replaced);
        }
        replaced.map_or(BUSY, u32::from)
    }
}

#[inline(always)]
pub(super) fn track(hit: Hit, segment: &Segment) -> Result<u16, Busy> {
    let (numbers, rest) = segment.words();
    match flow_track(hit.index.0, hit.tag.word(), numbers, rest) {
        UNTRACKED => Err(Busy),
        seen => Ok(low16(seen)),
    }
}

/// No flags seen.
const UNTRACKED: u32 = u32::MAX;

#[inline(always)]
pub(super) fn refuse(hit: Hit) {
    flow_refuse(hit.index.0, hit.tag.word());
}

#[inline(always)]
pub(super) fn update_client_hop(hit: Hit, hop: u32) -> Tag {
    Tag::from_word(flow_update_client_hop(hit.index.0, hit.tag.word(), hop))
}

#[inline(always)]
pub(super) fn replace_closed(hit: Hit, is_abandoned: bool, now: u32) -> Result<bool, Busy> {
    ended::note(hit.index, hit.tag);
    match flow_replace_closed(hit.index.0, hit.tag.word(), is_abandoned.into(), now) {
        BUSY => Err(Busy),
        replaced => Ok(replaced != 0),
    }
}

const BUSY: u32 = 2;

/// Returns the flow that was found with this tag at this index.
#[inline(always)]
pub(super) fn hit(index: u32, tag: u64) -> Option<Hit> {
    let found = table::at(Flows, Index(index))?;
    Some(Hit { tag: Tag::from_word(tag), ..found })
}
