//! The table in memory.

use bytemuck::{Pod, Zeroable};

use super::{Seed, Tag, WAYS};
use crate::flow::{Family, V4, V6};

/// Offset of the pair in an entry, behind the tag.
pub const PAIR_AT: usize = size_of::<Tag>();

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
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
struct PlainEntry {
    tag: Tag,
    flow: [u64; 3],
}

/// A bucket of an IPv4 table: the value of the kernel's map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct PlainBucket {
    entries: [PlainEntry; WAYS as usize],
}

const _: () = assert!(size_of::<PlainEntry>() == entry_bytes::<V4>());

/// The value behind a table's last bucket: enough for another program to find the flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Label {
    /// All zeros: the table was never in use.
    pub seed: Seed,
    reserved: [u64; RESERVED],
}

const RESERVED: usize = (size_of::<PlainBucket>() - size_of::<Seed>()) / size_of::<u64>();

impl Label {
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, reserved: [0; RESERVED] }
    }

    #[must_use]
    pub fn of(bucket: &PlainBucket) -> Self {
        bytemuck::must_cast(*bucket)
    }

    #[must_use]
    pub fn into_bucket(self) -> PlainBucket {
        bytemuck::must_cast(self)
    }
}

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
