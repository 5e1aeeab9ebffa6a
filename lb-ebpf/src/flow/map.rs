//! The table's map, as the algorithm sees it.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    flow::{FlowKey, State},
    limits,
    stats::Incident,
    table::{Chosen, Hash, Place, PlainBucket, Seed, Survey, Table, Tag, Victims, buckets_for},
};

use super::steps;
use crate::{
    load,
    raw::{self, Bucket},
    stats,
};

const BUCKETS: usize = buckets_for(limits::DEFAULT_FLOWS) as usize;

#[btf_map]
static FLOWS: Array<PlainBucket, BUCKETS, { BPF_F_MMAPABLE as usize }> = Array::new();

#[derive(Clone, Copy)]
pub(super) struct Flows;

impl Table for Flows {
    type Bucket = Bucket;

    #[inline(always)]
    fn seed(self) -> Seed {
        raw::flow_seed()
    }

    #[inline(always)]
    fn buckets(self) -> u32 {
        raw::flow_buckets()
    }

    #[inline(always)]
    fn bucket(self, index: u32) -> Option<Bucket> {
        Bucket::new(FLOWS.get_ptr_mut(index)?)
    }

    #[inline(always)]
    fn evicted(self, state: State) {
        stats::incident(Incident::evicted(state));
    }

    #[inline(always)]
    fn add_active(self, backend: u32, change: i64) {
        load::add(backend, change);
    }

    #[inline(always)]
    fn search(self, hash: Hash, key: &FlowKey, choice: u32) -> Place {
        steps::search(hash, key, choice)
    }

    #[inline(always)]
    fn claim(self, key: &FlowKey, now: u32) -> Place {
        steps::claim(key, now)
    }

    #[inline(always)]
    fn choose(self, hash: Hash, key: &FlowKey, now: u32, choice: u32) -> Chosen {
        steps::choose(hash, key, now, choice)
    }

    #[inline(always)]
    fn survey(self, bucket: u32, hash: Hash, key: &FlowKey) -> Survey {
        steps::survey(bucket, hash, key)
    }

    #[inline(always)]
    fn has_twin(self, place: Place, hash: Hash, key: &FlowKey) -> bool {
        steps::has_twin(place, hash, key)
    }

    #[inline(always)]
    fn victim(self, bucket: u32, now: u32, victims: Victims) -> Chosen {
        steps::victim(bucket, now, victims)
    }

    #[inline(always)]
    fn remove(self, place: Place, tag: Tag, to: Tag, now: u32) -> bool {
        steps::remove(place, tag, to, now)
    }

    #[inline(always)]
    fn revive(self, place: Place, tag: Tag) -> bool {
        steps::revive(place, tag)
    }
}
