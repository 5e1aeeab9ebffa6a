//! Lookup of a packet's service.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    flow::FlowKey,
    limits, mapped,
    service::{Service, ServiceKey},
    service_table::{Hash, IndexBucket, Record, buckets, named, records},
};

use crate::raw::{self, copied};

/// Names records; see [`lb_common::service_table`].
#[btf_map]
static SERVICE_INDEX: Array<
    IndexBucket,
    { buckets(limits::SERVICES) as usize },
    { BPF_F_MMAPABLE as usize },
> = Array::new();

#[btf_map]
static SERVICES: Array<
    Record,
    { records(limits::SERVICES) as usize },
    { BPF_F_MMAPABLE as usize },
> = Array::new();

#[inline(always)]
pub(crate) fn lookup(packet: &FlowKey) -> Option<Service> {
    let record = find(&ServiceKey::tcp(mapped(packet.dst()), packet.dst_port()))?;
    Some(copied(record).service)
}

/// Returns true if this address and port are a service's.
#[inline(always)]
pub(crate) fn is_served(address: [u8; 4], port: [u8; 2]) -> bool {
    find(&ServiceKey::tcp(mapped(address), port)).is_some()
}

/// Returns the record of a service. It does not change while a packet reads it.
#[inline(always)]
fn find(key: &ServiceKey) -> Option<*const Record> {
    let hash = Hash::of(key);
    let [first, second] = hash.choices(raw::service_buckets());
    let bucket = SERVICE_INDEX.get_ptr(first)?;
    if let Some(record) = find_in(bucket, hash, key) {
        return Some(record);
    }
    // A service may move from the first bucket to the second one.
    raw::order_loads(bucket);
    find_in(SERVICE_INDEX.get_ptr(second)?, hash, key)
}

/// Returns a service's record if this bucket names it.
#[inline(always)]
fn find_in(bucket: *const IndexBucket, hash: Hash, key: &ServiceKey) -> Option<*const Record> {
    let home = raw::home_word(bucket, hash.home());
    let number = named(hash, home, |way| raw::index_word(bucket, way));
    if number == 0 {
        return None;
    }
    let record = SERVICES.get_ptr(number)?;
    (copied(record).key == *key).then_some(record)
}
