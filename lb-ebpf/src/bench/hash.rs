//! A NAT that keeps its flows in the kernel's hash map: the floor of every balancer that does.

use aya_ebpf::{
    bindings::{BPF_NOEXIST, xdp_action},
    btf_maps::HashMap,
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use lb_common::{
    backend::Hop,
    flow::{FlowKey, Rewrite},
};

use crate::{astray, frame};

/// Tuple that packets of each flow get. The loader sets the number of entries.
#[btf_map]
static TUPLES: HashMap<FlowKey, FlowKey, 1> = HashMap::new();

/// Rewrites a known flow's packet, with incremental checksums, and sends it back.
#[xdp(frags)]
fn hash_nat(ctx: XdpContext) -> u32 {
    if translate(&ctx).is_none() {
        return astray::abort();
    }
    xdp_action::XDP_TX
}

#[inline(always)]
fn translate(ctx: &XdpContext) -> Option<()> {
    let headers = frame::headers(ctx)?;
    let key = FlowKey::of(headers);
    // SAFETY: the pointer comes from a map lookup, and no entry is ever changed.
    let to = unsafe { &*TUPLES.get_ptr(&key)? };
    let back = Hop::new(headers.ethernet.src, headers.ethernet.dst, 0);
    headers.ethernet.set_macs(back.macs());
    Rewrite::new(&key, to).apply(headers);
    Some(())
}

/// Makes a packet's flow known. Fails if it is.
#[xdp(frags)]
fn hash_learn(ctx: XdpContext) -> u32 {
    if learn(&ctx).is_none() {
        return astray::abort();
    }
    xdp_action::XDP_TX
}

#[inline(always)]
fn learn(ctx: &XdpContext) -> Option<()> {
    const BALANCER: [u8; 4] = [100, 0, 0, 1];
    const BACKEND: [u8; 4] = [10, 0, 0, 1];
    let key = FlowKey::of(frame::headers(ctx)?);
    let to = FlowKey::tcp(BALANCER, key.src_port(), BACKEND, key.dst_port());
    TUPLES.insert(&key, &to, BPF_NOEXIST.into()).ok()
}
