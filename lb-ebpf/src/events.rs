//! Events to the daemon. Nothing waits for it: events that do not fit are dropped.

#![expect(unsafe_code, reason = "the verifier knows global functions by their names")]

use aya_ebpf::{
    btf_maps::{PerCpuArray, RingBuf},
    macros::btf_map,
};
use lb_common::{
    backend::Hop,
    event::{EACH, Event, KINDS, Kind, RING_BYTES},
    rate_limiter::RateLimiter,
};

use crate::{
    flow::Hit,
    global::global,
    raw::{self, of_this_cpu},
    variant::IS_DRY,
};

#[btf_map]
static EVENTS: RingBuf<Event, { RING_BYTES as usize }> = RingBuf::new();

/// Rate limit of this CPU's events of each kind, so that nobody can keep the daemon busy.
#[btf_map]
static EVENTS_TOLD: PerCpuArray<RateLimiter, { KINDS as usize }> = PerCpuArray::new();

#[inline(always)]
pub(crate) fn of_backend(kind: Kind, backend: u32) {
    event_of_backend(kind as u32, backend);
}

global! {
    fn event_of_backend(kind: u32, backend: u32) -> u32 {
        tell(&Event { kind, backend, ..Event::default() });
        0
    }
}

/// Reports a client's packet that came from this hop, while replies are sent to another one.
#[inline(always)]
pub(crate) fn client_moved(hit: Hit, client: [u8; 4], hop: Hop) {
    let [first, rest] = hop.words();
    event_client_moved(hit.index.0, hit.tag.word(), u32::from_ne_bytes(client), first, rest);
}

global! {
    fn event_client_moved(index: u32, tag: u64, client: u32, first: u64, rest: u64) -> u32 {
        tell(&Event {
            kind: Kind::ClientMoved as u32,
            backend: 0,
            tag,
            index,
            client: client.to_ne_bytes(),
            hop: Hop::of_words([first, rest]),
        });
        0
    }
}

#[inline(always)]
fn tell(event: &Event) {
    if IS_DRY {
        return;
    }
    let Some(told) = EVENTS_TOLD.get_ptr_mut(event.kind) else { return };
    if of_this_cpu(told).take(raw::now(), EACH) {
        // The buffer is full if the daemon is busy or gone.
        EVENTS.output(event, 0).ok();
    }
}
