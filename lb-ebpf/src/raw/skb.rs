//! Packets on their way to the host's stack, and the stack's sockets.

use aya_ebpf::{
    EbpfContext,
    bindings::{
        __sk_buff, BPF_F_CURRENT_NETNS,
        bpf_hdr_start_off::{BPF_HDR_START_MAC, BPF_HDR_START_NET},
        bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1, bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    helpers::generated::{bpf_sk_release, bpf_skb_load_bytes_relative, bpf_skc_lookup_tcp},
    programs::TcContext,
};
use bytemuck::Pod;
use lb_common::{flow::FlowKey, wire::ETHERTYPE_IPV4};

/// `BPF_TCP_LISTEN` of `linux/bpf.h`.
const LISTEN: u32 = 10;

type Tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1;

/// The kernel recognizes an IPv4 tuple by this size.
const TUPLE_BYTES: u32 = 12;

const _: () = assert!(size_of::<Tuple>() == TUPLE_BYTES as usize);

/// Returns true if the frame had a VLAN tag, which the kernel has removed by now.
#[inline(always)]
pub(crate) fn is_tagged(context: &TcContext) -> bool {
    let skb: *const __sk_buff = context.as_ptr().cast();
    // SAFETY: the kernel hands every tc program a valid context.
    unsafe { (*skb).vlan_present != 0 }
}

/// Returns true if the kernel has classified the frame's packet as IPv4.
#[inline(always)]
pub(crate) fn is_ipv4(context: &TcContext) -> bool {
    let skb: *const __sk_buff = context.as_ptr().cast();
    // SAFETY: as in `is_tagged`.
    let protocol = unsafe { (*skb).protocol };
    protocol == u32::from(u16::from_ne_bytes(ETHERTYPE_IPV4))
}

/// Alignment for the stack, where the verifier requires every field to be aligned.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Aligned<T>(pub(crate) T);

/// Origin of an offset.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Frame,
    Network,
}

/// Reads bytes of a packet, by the kernel's own offsets: after generic XDP has copied a packet, its
/// data start elsewhere.
#[inline(always)]
pub(crate) fn load<T: Pod>(context: &TcContext, from: From, offset: usize) -> Option<Aligned<T>> {
    let start = match from {
        From::Frame => BPF_HDR_START_MAC,
        From::Network => BPF_HDR_START_NET,
    };
    let (offset, length) = (u32::try_from(offset).ok()?, u32::try_from(size_of::<T>()).ok()?);
    let mut loaded = Aligned(T::zeroed());
    // SAFETY: the context is valid, and the bytes are written to a value of the same size that
    // allows any bit pattern.
    let failed = unsafe {
        bpf_skb_load_bytes_relative(
            context.as_ptr(),
            offset,
            (&raw mut loaded.0).cast(),
            length,
            start,
        )
    };
    (failed == 0).then_some(loaded)
}

/// Returns true if the host has a socket of exactly this connection, other than a listener.
#[inline(always)]
pub(crate) fn is_of_own_connection(context: &impl EbpfContext, packet: &FlowKey) -> bool {
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: Tuple {
                saddr: u32::from_ne_bytes(packet.src()),
                daddr: u32::from_ne_bytes(packet.dst()),
                sport: u16::from_ne_bytes(packet.src_port()),
                dport: u16::from_ne_bytes(packet.dst_port()),
            },
        },
    };
    // SAFETY: the context is valid, and so is the IPv4 part of the tuple, which alone is read.
    let socket = unsafe {
        bpf_skc_lookup_tcp(
            context.as_ptr(),
            &raw mut tuple,
            TUPLE_BYTES,
            i64::from(BPF_F_CURRENT_NETNS).cast_unsigned(),
            0,
        )
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the socket is held until it is released below.
    let state = unsafe { (*socket).state };
    // SAFETY: it was found by the lookup above, and is released once.
    unsafe { bpf_sk_release(socket.cast()) };
    state != LISTEN
}
