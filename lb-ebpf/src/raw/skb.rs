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

/// Whether the frame holds an IPv4 packet, by what the kernel makes of it.
#[inline(always)]
pub(crate) fn is_ipv4(context: &TcContext) -> bool {
    let skb: *const __sk_buff = context.as_ptr().cast();
    // SAFETY: as in `is_tagged`.
    let protocol = unsafe { (*skb).protocol };
    protocol == u32::from(u16::from_ne_bytes(ETHERTYPE_IPV4))
}

/// On the stack the verifier wants every field aligned.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Aligned<T>(pub(crate) T);

/// What an offset counts from.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Frame,
    Network,
}

/// Bytes of a packet. By the kernel's own marks: after generic XDP has copied a packet, the data do not
/// begin where they do otherwise.
#[inline(always)]
pub(crate) fn load<T: Pod>(context: &TcContext, from: From, offset: usize) -> Option<Aligned<T>> {
    let start = match from {
        From::Frame => BPF_HDR_START_MAC,
        From::Network => BPF_HDR_START_NET,
    };
    let (offset, length) = (u32::try_from(offset).ok()?, u32::try_from(size_of::<T>()).ok()?);
    let mut loaded = Aligned(T::zeroed());
    // SAFETY: the context is valid, and the bytes are written to a value that has as many, and takes
    // any.
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

/// Whether the host has a socket of just this connection, other than one that listens.
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
