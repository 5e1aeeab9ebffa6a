//! Packets and bytes of each flow, in an array beside the flow table: by the index of the flow's entry.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{stats::Count, table::Index};

use crate::raw;

/// Sized by the loader; of one value if nothing is accounted.
#[btf_map]
static ACCOUNTS: Array<Count, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Begins the account of a new flow.
#[inline(always)]
pub(crate) fn begin(index: Index) {
    if let Some(count) = place(index) {
        raw::set_count(count, Count::default());
    }
}

/// Adds an IP packet of this length.
#[inline(always)]
pub(crate) fn add(index: Index, length: [u8; 2]) {
    if let Some(count) = place(index) {
        raw::add_to_count(count, Count { packets: 1, bytes: u16::from_be_bytes(length).into() });
    }
}

/// Returns the account of a flow; zeros if nothing is accounted.
#[inline(always)]
pub(crate) fn of(index: Index) -> Count {
    place(index).map_or_else(Count::default, |count| raw::copied(count))
}

#[inline(always)]
fn place(index: Index) -> Option<*mut Count> {
    if !raw::is_accounting() {
        return None;
    }
    ACCOUNTS.get_ptr_mut(index.0)
}
