//! A generator of live frames, and the program that takes them.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::Array,
    helpers::bpf_redirect,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    volley::Volley,
    wire::{ETHERTYPE_IPV4, Ethernet},
};

use crate::frame::room;

#[btf_map]
static VOLLEY: Array<Volley, 1> = Array::new();

/// Writes the next frame over the present one and sends it. Runs on one CPU at a time.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    let (Some(volley), Some(frame)) = (VOLLEY.get_ptr_mut(0), room(&ctx, 0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: the map's value is valid, and nothing else refers to it.
    let volley = unsafe { &mut *volley };
    volley.write_next(frame);
    // SAFETY: takes no pointers. Without flags it only notes the interface.
    unsafe { bpf_redirect(volley.ifindex, 0) };
    xdp_action::XDP_REDIRECT
}

/// Drops the generator's frames, and passes ARP.
#[xdp(frags)]
fn sink(ctx: XdpContext) -> u32 {
    let start = ctx.data();
    if start + size_of::<Ethernet>() > ctx.data_end() {
        return xdp_action::XDP_DROP;
    }
    // SAFETY: the header lies in the frame, and any address is aligned for it.
    let header = unsafe { &*(start as *const Ethernet) };
    if header.ethertype == ETHERTYPE_IPV4 { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}
