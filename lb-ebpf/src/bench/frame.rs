//! Access to frames.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    template::FRAME_LENGTH,
    wire::{ETHERTYPE_IPV4, Headers, IPV4_WITHOUT_OPTIONS, PROTO_TCP},
};

/// Returns the headers of a TCP packet.
#[inline(always)]
pub(crate) fn headers(ctx: &XdpContext) -> Option<&'static mut Headers> {
    let start = ctx.data();
    if start + size_of::<Headers>() > ctx.data_end() {
        return None;
    }
    // SAFETY: the headers lie in the frame, any address is aligned for them, and no program asks
    // twice.
    let headers = unsafe { &mut *(start as *mut Headers) };
    let is_tcp = headers.ethernet.ethertype == ETHERTYPE_IPV4
        && headers.ip.protocol == PROTO_TCP
        && headers.ip.version_ihl == IPV4_WITHOUT_OPTIONS
        && !headers.ip.is_fragment();
    is_tcp.then_some(headers)
}

/// Returns a frame of a test run.
#[inline(always)]
pub(crate) fn room(ctx: &XdpContext, place: usize) -> Option<&'static mut [u64; FRAME_LENGTH / 8]> {
    let start = ctx.data() + place * FRAME_LENGTH;
    if start + FRAME_LENGTH > ctx.data_end() {
        return None;
    }
    let frame = start as *mut [u64; FRAME_LENGTH / 8];
    // SAFETY: the bytes are in the frame, which starts 256 bytes into a page in a test run, and no
    // caller holds two references to one place.
    Some(unsafe { &mut *frame })
}
