//! Commands of bpf(2) that aya does not offer.

#![expect(unsafe_code, reason = "bpf(2) is a raw system call")]

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_attr, bpf_attr__bindgen_ty_3, bpf_cmd::BPF_MAP_LOOKUP_BATCH};
use bytemuck::{Pod, Zeroable};

/// Where a walk through a hash map has come to.
#[derive(Clone, Copy, Debug)]
pub struct Cursor(u32);

/// Some entries of a map, and where to go on, unless these were the last.
pub struct Batch<K, V> {
    pub entries: Vec<(K, V)>,
    pub next: Option<Cursor>,
}

/// Up to `limit` entries of a hash map from `cursor` on, or from its beginning, in no order.
/// Entries that come or go meanwhile may be missed.
///
/// # Errors
///
/// `ENOSPC` if one of the map's buckets alone holds more than `limit` entries.
pub fn lookup_batch<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    cursor: Option<Cursor>,
    limit: u32,
) -> io::Result<Batch<K, V>> {
    let mut keys: Vec<K> = vec![Zeroable::zeroed(); limit as usize];
    let mut values: Vec<V> = vec![Zeroable::zeroed(); limit as usize];
    let mut next = 0_u32;
    let mut attr = bpf_attr {
        batch: bpf_attr__bindgen_ty_3 {
            in_batch: cursor.as_ref().map_or(0, |cursor| (&raw const cursor.0) as u64),
            out_batch: (&raw mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: limit,
            map_fd: map.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        },
    };
    let command = BPF_MAP_LOOKUP_BATCH as libc::c_long;
    let size = size_of::<bpf_attr>();
    // SAFETY: the attribute is whole, its pointers outlive the call, and the kernel writes no more
    // than `count` keys and values, whose sizes the caller's types have.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attr, size) };
    let error = (result < 0).then(io::Error::last_os_error);
    let ended = error.as_ref().is_some_and(|error| error.raw_os_error() == Some(libc::ENOENT));
    if let Some(error) = error.filter(|_| !ended) {
        return Err(error);
    }
    // SAFETY: the call has filled in the same variant.
    let count = unsafe { attr.batch.count };
    let entries = keys.into_iter().zip(values).take(count as usize).collect();
    Ok(Batch { entries, next: (!ended).then_some(Cursor(next)) })
}
