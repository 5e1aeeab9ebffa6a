//! Counters.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, PerCpuArray},
    macros::btf_map,
};
use lb_common::{
    flow::Direction,
    limits,
    reason::{REASONS, Reason},
    stats::{Count, INCIDENTS, Incident, Traffic},
};

use crate::{raw::of_this_cpu, variant::IS_DRY};

/// Frames by [`Reason`]; bytes from the Ethernet header on.
#[btf_map]
static VERDICTS: PerCpuArray<Count, { REASONS as usize }> = PerCpuArray::new();

/// IP packets by backend id.
#[btf_map]
static TRAFFIC: PerCpuArray<Traffic, { limits::BACKENDS as usize }> = PerCpuArray::new();

/// Traffic of backends under released ids that they had before, by their present id. Only the daemon
/// reads and writes it.
#[btf_map]
static PAST_TRAFFIC: Array<Traffic, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Traffic of each service's removed backends that have no connections left, by service id. Only the daemon
/// reads and writes it.
#[btf_map]
static KEPT_TRAFFIC: Array<Traffic, { limits::SERVICES as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

#[btf_map]
static INCIDENTS_SEEN: PerCpuArray<u64, { INCIDENTS as usize }> = PerCpuArray::new();

/// Frames that programs of other versions have counted, by [`Reason`]. Only the daemon reads and writes it.
#[btf_map]
static PAST_VERDICTS: Array<Count, { REASONS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Incidents that programs of other versions have counted. Only the daemon reads and writes it.
#[btf_map]
static PAST_INCIDENTS: Array<u64, { INCIDENTS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

#[inline(always)]
pub(crate) fn verdict(reason: Reason, bytes: u64) {
    if let Some(count) = counted(VERDICTS.get_ptr_mut(reason as u32)) {
        add(count, bytes);
    }
}

#[inline(always)]
pub(crate) fn connection(backend: u32) {
    if let Some(traffic) = counted(TRAFFIC.get_ptr_mut(backend)) {
        traffic.connections += 1;
    }
}

#[inline(always)]
pub(crate) fn packet(backend: u32, direction: Direction, bytes: [u8; 2]) {
    let Some(traffic) = counted(TRAFFIC.get_ptr_mut(backend)) else { return };
    let count = match direction {
        Direction::ToBackend => &mut traffic.inbound,
        Direction::ToClient => &mut traffic.outbound,
    };
    add(count, u16::from_be_bytes(bytes).into());
}

#[inline(always)]
pub(crate) fn incident(incident: Incident) {
    if let Some(count) = counted(INCIDENTS_SEEN.get_ptr_mut(incident as u32)) {
        *count += 1;
    }
}

/// Returns this CPU's own value of a map, to count in: none in a dry run.
#[inline(always)]
fn counted<T>(value: Option<*mut T>) -> Option<&'static mut T> {
    if IS_DRY { None } else { value.map(of_this_cpu) }
}

#[inline(always)]
fn add(count: &mut Count, bytes: u64) {
    count.packets += 1;
    count.bytes += bytes;
}
