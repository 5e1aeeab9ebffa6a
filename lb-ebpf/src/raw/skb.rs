//! Packets on their way to the host's stack, and the stack's sockets.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{
        __sk_buff, BPF_F_CURRENT_NETNS, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp},
    programs::TcContext,
};
use lb_common::flow::FlowKey;

/// `BPF_TCP_LISTEN` of `linux/bpf.h`.
const LISTEN: u32 = 10;

type Tuple = bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1;

/// By its size the kernel tells that the tuple is of IPv4.
const TUPLE_BYTES: u32 = 12;

const _: () = assert!(size_of::<Tuple>() == TUPLE_BYTES as usize);

/// Whether the frame had a VLAN tag, which the kernel has taken out of it by now.
#[inline(always)]
pub(crate) fn is_tagged(context: &TcContext) -> bool {
    let skb: *const __sk_buff = context.as_ptr().cast();
    // SAFETY: the kernel hands every tc program a valid context.
    unsafe { (*skb).vlan_present != 0 }
}

/// Whether the host has a socket of just this connection, other than one that listens.
#[inline(always)]
pub(crate) fn is_of_own_connection(context: &TcContext, packet: &FlowKey) -> bool {
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
    // SAFETY: the context is valid, and so is the tuple, of which IPv4's part is read.
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
