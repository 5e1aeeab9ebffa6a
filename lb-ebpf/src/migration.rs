//! Connections that move here from the table of a program with other maps.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::table::{IMPORTS_EACH_RUN, Import};

use crate::{flow, raw, raw::Packet};

/// One word, the time of the daemon's clock, which it sets before the first interface gets a program with another table, and
/// clears once all connections have moved. Programs before and after the change share it.
#[btf_map]
static MIGRATING: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Returns true if an unknown connection may be one that has not moved yet.
#[inline(always)]
pub(crate) fn is_under_way() -> bool {
    MIGRATING.get_ptr(0).is_some_and(|word| raw::word(word) != 0)
}

/// Takes over the connections that a frame lists, and writes their results to it. The daemon never writes
/// to an entry itself: if it were killed while it holds one, nobody could release it.
#[inline(always)]
pub(crate) fn import(packet: &mut Packet) {
    for nth in 0..IMPORTS_EACH_RUN {
        let bytes: Option<&mut [u8; size_of::<Import>()]> = packet.at(nth * size_of::<Import>());
        let Some(bytes) = bytes else { break };
        *bytes = bytemuck::must_cast(flow::import(bytemuck::pod_read_unaligned(bytes)));
    }
}
