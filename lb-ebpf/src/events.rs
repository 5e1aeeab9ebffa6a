//! What the daemon is told at once. Nothing waits for it: what does not fit is left out.

use aya_ebpf::{
    btf_maps::{PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    allowance::Allowance,
    event::{EACH, Event, KINDS, Kind, RING_BYTES},
};

use crate::raw::{self, of_this_cpu};

#[btf_map]
static EVENTS: RingBuf<Event, { RING_BYTES as usize }> = RingBuf::new();

/// What this CPU has told of each kind, so that nobody can keep the daemon busy.
#[btf_map]
static EVENTS_TOLD: PerCpuArray<Allowance, { KINDS as usize }> = PerCpuArray::new();

#[inline(always)]
pub(crate) fn of_backend(kind: Kind, backend: u32) {
    tell(&Event { kind: kind as u32, backend, ..Event::default() });
}

#[inline(never)]
pub(crate) fn tell(event: &Event) {
    let Some(told) = EVENTS_TOLD.get_ptr_mut(event.kind) else { return };
    if of_this_cpu(told).take(raw::now(), EACH) {
        // A full buffer is a daemon that is busy or gone.
        EVENTS.output(event, 0).ok();
    }
}
