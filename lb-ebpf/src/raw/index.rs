//! Buckets of the index of services.

use core::intrinsics::atomic_or;

use lb_common::service_table::{IndexBucket, WAYS};

use super::words::{ORDER, WEAKLY_ORDERED, masked};

/// Reads a word of a bucket, by a way that depends on the packet.
#[inline(always)]
pub(crate) fn home_word(bucket: *const IndexBucket, way: u32) -> u64 {
    // SAFETY: the pointer comes from a map lookup that succeeded, and a bucket has that many words.
    unsafe { bucket.cast::<u64>().wrapping_add(masked::<WAYS>(way)).read_volatile() }
}

/// Reads a word of a bucket, by a way that the compiler knows.
#[inline(always)]
pub(crate) fn index_word(bucket: *const IndexBucket, way: u32) -> u64 {
    // SAFETY: the pointer comes from a map lookup that succeeded, and a bucket has that many words.
    unsafe { bucket.cast::<u64>().wrapping_add(way as usize).read_volatile() }
}

/// Completes all loads from a bucket before later ones, on machines that may reorder them.
#[inline(always)]
pub(crate) fn order_loads(bucket: *const IndexBucket) {
    if WEAKLY_ORDERED.load() != 0 {
        // SAFETY: the pointer comes from a map lookup that succeeded, and the word stays as it is.
        unsafe { atomic_or::<u64, u64, ORDER>(bucket.cast_mut().cast(), 0) };
    }
}
