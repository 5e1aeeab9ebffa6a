//! Count of the frames that did not take the path that is measured. Those that did pay nothing for
//! it.

use aya_ebpf::{bindings::xdp_action, btf_maps::PerCpuArray, macros::btf_map};

#[btf_map]
static ASTRAY: PerCpuArray<u64, 1> = PerCpuArray::new();

/// Counts a frame, and aborts it.
#[inline(always)]
pub(crate) fn abort() -> u32 {
    if let Some(count) = ASTRAY.get_ptr_mut(0) {
        // SAFETY: the map's value is valid, and this CPU's own.
        unsafe { *count += 1 };
    }
    xdp_action::XDP_ABORTED
}
