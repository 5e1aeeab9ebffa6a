//! Lookup of a packet's service.

use aya_ebpf::{btf_maps::HashMap, macros::btf_map};
use lb_common::{
    flow::FlowKey,
    limits, mapped,
    service::{Service, ServiceKey},
};

use crate::raw::copied;

#[btf_map]
static SERVICES: HashMap<ServiceKey, Service, { limits::SERVICES as usize }> = HashMap::new();

#[inline(always)]
pub(crate) fn lookup(packet: &FlowKey) -> Option<Service> {
    let key = ServiceKey::tcp(mapped(packet.dst()), packet.dst_port());
    SERVICES.get_ptr(&key).map(copied)
}

/// Returns true if this address and port are a service's.
#[inline(always)]
pub(crate) fn is_served(address: [u8; 4], port: [u8; 2]) -> bool {
    SERVICES.get_ptr(&ServiceKey::tcp(mapped(address), port)).is_some()
}
