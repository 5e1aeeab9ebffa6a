//! Backends, by id.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, btf_maps::Array, macros::btf_map};
use lb_common::{backend::Backend, limits};

/// Values of a mappable array begin at a page, so that each is in two cache lines, not in three.
#[btf_map]
static BACKENDS: Array<Backend, { limits::BACKENDS as usize }, { BPF_F_MMAPABLE as usize }> =
    Array::new();

/// Id of no backend, in an empty slot or as the backend to avoid.
pub(crate) const NOBODY: u32 = 0;

#[inline(always)]
pub(crate) fn get(id: u32) -> Option<&'static Backend> {
    BACKENDS.get(id)
}
