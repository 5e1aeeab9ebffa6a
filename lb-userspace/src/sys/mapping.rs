//! The memory of a BPF array, mapped: what the kernel's program writes is seen without a call.

#![expect(unsafe_code, reason = "mmap(2) hands out raw memory")]

use std::{ffi::c_void, io, num::NonZeroUsize, os::fd::BorrowedFd, ptr::NonNull, slice};

use lb_common::table::SharedBucket;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// The buckets of a flow table.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    buckets: usize,
}

// SAFETY: the mapping is bound to no thread, and its words are only accessed as atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `buckets` values of an array with `BPF_F_MMAPABLE`, which has as many.
    ///
    /// # Errors
    ///
    /// The kernel's, if the map is no such array.
    pub fn new(map: BorrowedFd<'_>, buckets: u32) -> io::Result<Self> {
        let buckets = buckets as usize;
        let length = NonZeroUsize::new(buckets * size_of::<SharedBucket>())
            .ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice, of a file that cannot shrink.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { start, buckets })
    }

    pub fn buckets(&self) -> &[SharedBucket] {
        // SAFETY: the mapping is that long and lives as long as `self`, it begins at a page, any
        // bit pattern is a bucket, and a bucket consists of atomics.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.buckets) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let length = self.buckets * size_of::<SharedBucket>();
        // SAFETY: this is what was mapped, and no reference to it outlives `self`.
        if let Err(error) = unsafe { munmap(self.start, length) } {
            log::debug!("a flow table stays mapped: {error}");
        }
    }
}
