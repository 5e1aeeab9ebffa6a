//! Memory-mapped BPF arrays: values written by the BPF program are visible without a system call.

#![expect(unsafe_code, reason = "mmap(2) hands out raw memory")]

use std::{
    ffi::c_void,
    io,
    marker::PhantomData,
    num::NonZeroUsize,
    os::fd::BorrowedFd,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicI64, AtomicU32, AtomicU64},
};

use lb_common::{
    client_hops::SharedSlot,
    table::{SharedBackend, SharedBucket, SharedFamily},
};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, munmap};

/// Types that may be written by others while shared.
///
/// # Safety
///
/// The type must consist of atomics, accept any bit pattern, and need at most page alignment.
pub unsafe trait Shared: Send + Sync {}

// SAFETY: its entries consist of atomics.
unsafe impl<F: SharedFamily> Shared for SharedBucket<F> where Self: Send + Sync {}
// SAFETY: it consists of atomics.
unsafe impl Shared for SharedBackend {}
// SAFETY: it consists of atomics.
unsafe impl Shared for SharedSlot {}
// SAFETY: it is an atomic.
unsafe impl Shared for AtomicU32 {}
// SAFETY: it is an atomic.
unsafe impl Shared for AtomicI64 {}
// SAFETY: it is an atomic.
unsafe impl Shared for AtomicU64 {}

/// Values of an array.
#[derive(Debug)]
pub struct Mapping<T> {
    start: NonNull<c_void>,
    count: usize,
    values: PhantomData<[T]>,
}

// SAFETY: the mapping is bound to no thread, and its values are only accessed as atomics.
unsafe impl<T: Shared> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for Mapping<T> {}

impl<T: Shared> Mapping<T> {
    /// Maps the first `count` values of an array with `BPF_F_MMAPABLE`. The array must have as
    /// many.
    ///
    /// # Errors
    ///
    /// Returns the kernel's error if the map is no such array.
    pub fn new(map: BorrowedFd<'_>, count: u32) -> io::Result<Self> {
        let count = count as usize;
        let length =
            NonZeroUsize::new(count * size_of::<T>()).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that cannot shrink.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, map, 0) }?;
        let mapping = Self { start, count, values: PhantomData };
        // Not needed by programs of checks, and slow to copy its page tables at each fork.
        // SAFETY: the new mapping stays valid in this process.
        unsafe { madvise(start, length.get(), MmapAdvise::MADV_DONTFORK) }?;
        Ok(mapping)
    }

    #[must_use]
    pub fn values(&self) -> &[T] {
        // SAFETY: the mapping is that long and lives as long as `self`, it begins at a page, and a
        // `T` is shared.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.count) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        let length = self.count * size_of::<T>();
        // SAFETY: this is the whole mapping, and no reference to it outlives `self`.
        if let Err(error) = unsafe { munmap(self.start, length) } {
            log::debug!("a map stays mapped: {error}");
        }
    }
}
