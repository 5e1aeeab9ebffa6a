//! The table's map, as the algorithm sees it.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    backend::Backend,
    flow::{State, V4},
    limits,
    stats::Incident,
    table::{Index, PlainBucket, Seed, Storage, Tag, buckets_for},
};

use super::ended;
use crate::{
    backends, load,
    raw::{self, Bucket},
    stats,
};

const BUCKETS: usize = buckets_for(limits::DEFAULT_FLOWS) as usize;

#[btf_map]
static FLOWS: Array<PlainBucket, BUCKETS, { BPF_F_MMAPABLE as usize }> = Array::new();

#[derive(Clone, Copy)]
pub(super) struct Flows;

impl Storage for Flows {
    type Family = V4;
    type Bucket = Bucket<V4>;
    type Backend = &'static Backend;

    #[inline(always)]
    fn seed(self) -> Seed {
        raw::flow_seed()
    }

    #[inline(always)]
    fn buckets(self) -> u32 {
        raw::flow_buckets()
    }

    #[inline(always)]
    fn bucket(self, index: u32) -> Option<Bucket<V4>> {
        Bucket::new(FLOWS.get_ptr_mut(index)?)
    }

    #[inline(always)]
    fn backend(self, id: u32) -> Option<&'static Backend> {
        backends::get(id)
    }

    #[inline(always)]
    fn note_end(self, index: Index, tag: Tag) {
        ended::note(index, tag);
    }

    #[inline(always)]
    fn evicted(self, state: State) {
        stats::incident(Incident::evicted(state));
    }

    #[inline(always)]
    fn add_active(self, backend: u32, change: i64) {
        load::add(backend, change);
    }
}
