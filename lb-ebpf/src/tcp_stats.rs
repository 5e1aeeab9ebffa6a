//! How well connections to each backend go: resets, retransmitted SYNs, and the latency of some handshakes.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{
    flow::{Pair, flags_seen},
    handshake::{SLOTS, Sample},
    limits,
    stats::{TcpStats, TcpWord},
};

use crate::raw;

#[btf_map]
static TCP_STATS: Array<TcpStats, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Starts of sampled handshakes.
#[btf_map]
static HANDSHAKES: Array<u64, { SLOTS as usize }> = Array::new();

/// Remembers when a connection's first SYN came, if it is sampled.
#[inline(always)]
pub(crate) fn opened(pair: Pair) {
    let Some(sample) = Sample::of(pair) else { return };
    if let Some(slot) = HANDSHAKES.get_ptr_mut(sample.slot) {
        raw::set_word(slot, sample.started(raw::precise_now()));
    }
}

/// Records the first SYN-ACK of a connection's backend.
#[inline(always)]
pub(crate) fn answered(pair: Pair) {
    let Some(sample) = Sample::of(pair) else { return };
    let Some(slot) = HANDSHAKES.get_ptr_mut(sample.slot) else { return };
    let Some(nanos) = sample.latency(raw::word(slot), raw::precise_now()) else { return };
    add(pair.backend(), TcpWord::of_handshake(nanos), 1);
    add(pair.backend(), TcpWord::HANDSHAKE_NANOS, nanos);
}

/// Records a client's SYN of a connection whose handshake has not ended.
#[inline(always)]
pub(crate) fn syn_again(backend: u32) {
    add(backend, TcpWord::RETRANSMITTED_SYNS, 1);
}

/// Records a reset by which the backend refused a connection.
#[inline(always)]
pub(crate) fn refused(backend: u32) {
    add(backend, TcpWord::RESETS_BY_BACKEND, 1);
}

/// Records the side that has reset a connection, by its flags seen before and after a segment.
#[inline(always)]
pub(crate) fn tracked(backend: u32, before: u16, after: u16) {
    let set = after & !before;
    if set & flags_seen::CLIENT_RST != 0 {
        add(backend, TcpWord::RESETS_BY_CLIENT, 1);
    }
    if set & flags_seen::BACKEND_RST != 0 {
        add(backend, TcpWord::RESETS_BY_BACKEND, 1);
    }
}

#[inline(always)]
fn add(backend: u32, word: TcpWord, by: u64) {
    if let Some(stats) = TCP_STATS.get_ptr_mut(backend) {
        raw::tally(stats, word, by);
    }
}
