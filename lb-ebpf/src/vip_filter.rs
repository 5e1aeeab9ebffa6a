//! The first test of a packet: whether its destination may be ours.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use lb_common::address_filter::{WORDS, bit_of};

/// See [`lb_common::address_filter`].
#[btf_map]
static VIP_FILTER: Array<u64, { WORDS as usize }> = Array::new();

#[inline(always)]
pub(crate) fn may_be_ours(address: [u8; 4]) -> bool {
    let (word, bit) = bit_of(address);
    VIP_FILTER.get(word).is_some_and(|word| word & bit != 0)
}
