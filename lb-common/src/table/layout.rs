//! The table in memory.

use bytemuck::{Pod, Zeroable};

use crate::flow::{Family, V4, V6};

/// Entries of a bucket: so many that a bucket hardly ever overflows before the table is full, with two of
/// three entries in use by design. All are read only if a flow is not where it is looked for first.
pub const WAYS: u32 = 16;

/// Number of buckets that a flow may be in.
pub const CHOICES: u32 = 6;

/// Number of entries of a bucket that half-open connections may keep: a flood evicts itself.
pub const HALF_OPEN_WAYS: u32 = WAYS / 4;

/// Offset of the pair in an entry, behind the tag.
pub const PAIR_AT: usize = size_of::<u64>();

/// Returns the offset of the time of the last packet in an entry.
#[must_use]
pub const fn last_seen_at<F: Family>() -> usize {
    PAIR_AT + size_of::<F::PairWords>()
}

/// Returns the offset of the [extra](crate::flow::Flow::extra) word in an entry.
#[must_use]
pub const fn extra_at<F: Family>() -> usize {
    last_seen_at::<F>() + size_of::<u32>()
}

/// Returns the bytes of an entry: a part of a cache line, or all of one.
#[must_use]
pub const fn entry_bytes<F: Family>() -> usize {
    (extra_at::<F>() + size_of::<u32>()).next_power_of_two()
}

const _: () = assert!(entry_bytes::<V4>() == 32 && entry_bytes::<V6>() == 64);

/// An entry of an IPv4 table.
#[repr(C, align(32))]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct PlainEntry([u64; 4]);

/// A bucket of an IPv4 table: the value of the kernel's map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct PlainBucket {
    entries: [PlainEntry; WAYS as usize],
}

const _: () = assert!(size_of::<PlainEntry>() == entry_bytes::<V4>());

/// Entries of a table for each connection that it is made for. A third of them stays free, so that most
/// flows are at home.
const ENTRIES_PER_CONNECTION: u32 = 3;

/// Bytes of a table that is made for so many connections.
#[must_use]
pub const fn table_bytes(connections: u32) -> u64 {
    (buckets_for(connections) as u64 + 1) * size_of::<PlainBucket>() as u64
}

/// Buckets of a table that is made for so many connections.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "fewer than the connections")]
pub const fn buckets_for(connections: u32) -> u32 {
    (connections as u64 * ENTRIES_PER_CONNECTION as u64).div_ceil(WAYS as u64) as u32
}

/// Connections that a table of so many buckets is made for.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "of a table that was made for connections")]
pub const fn connections_of(buckets: u32) -> u32 {
    (buckets as u64 * WAYS as u64 / ENTRIES_PER_CONNECTION as u64) as u32
}
