//! The flow table: what a packet's way costs, from the first thousand flows to the last million.
//!
//! A line of 64 bytes holds one direction of a connection, whole, so that a packet costs one cache
//! line. [`WAYS`] lines make a bucket; a keyed hash chooses a flow's bucket, and the line in it that
//! is looked at first. Nothing is allocated and nothing is locked: a line belongs to whoever swaps
//! its [`Tag`] from what it was to what it shall be, and a reader trusts what it has read if the
//! tag is still the same flow's afterwards.
//!
//! A flow over IPv6 will take two neighbours whose first has an even number: the second's tag is
//! claimed for good, and its other words carry what the first has no room for.
//!
//! The algorithm does not know where the table lies: the kernel's program has it in a map, the
//! control plane maps the same memory, tests have it on the heap or in loom's atomics.

mod claim;
mod find;
mod hash;
mod pair;
#[cfg(target_has_atomic = "64")]
mod shared;
mod storage;
mod tag;

use bytemuck::{Pod, Zeroable};

#[cfg(target_has_atomic = "64")]
pub use self::shared::{SharedBucket, SharedLine, SharedTable};
pub use self::{
    claim::{
        Chosen, HALF_OPEN_WAYS, Refused, SILENCE, Survey, Victims, choose, claim, has_twin, survey,
        victim, worth,
    },
    find::{Busy, Found, Hit, at, find, peek, search},
    hash::{Hash, Seed},
    pair::{
        Opening, Unopened, condemn, open, partner, refuse, relearn, remark, remove, replace,
        revive, track,
    },
    storage::{Bucket, Line, Place, Table},
    tag::Tag,
};
use crate::flow::Flow;

/// Lines of a bucket: so many that a bucket hardly ever overflows before the table is full, and so
/// few that a look through all of them costs about as much as a look at one.
pub const WAYS: u32 = 8;

/// Buckets that a flow may be in: the next one only if those before have been full.
pub const CHOICES: u32 = 6;

/// A line as it lies in memory.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
pub struct PlainLine {
    pub tag: Tag,
    pub flow: Flow,
}

/// A bucket as it lies in memory: the value of the kernel's map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct PlainBucket {
    pub lines: [PlainLine; WAYS as usize],
}

const _: () = assert!(size_of::<PlainLine>() == 64);

/// What stands in the value behind a table's last bucket: enough for another program to find the
/// flows in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Label {
    /// All zeros: the table was never in use.
    pub seed: Seed,
    reserved: [u64; 4],
}

impl Label {
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, reserved: [0; 4] }
    }

    #[must_use]
    pub fn of(bucket: &PlainBucket) -> Self {
        bytemuck::must_cast(bucket.lines[0])
    }

    #[must_use]
    pub fn into_bucket(self) -> PlainBucket {
        let mut bucket = PlainBucket::zeroed();
        bucket.lines[0] = bytemuck::must_cast(self);
        bucket
    }
}

/// Lines that the table has for each connection that it is made for. Half of them stay free, or
/// buckets would overflow.
pub const LINES_PER_CONNECTION: u32 = 4;

/// Bytes of a table that is made for so many connections.
#[must_use]
pub const fn table_bytes(connections: u32) -> u64 {
    (buckets_for(connections) as u64 + 1) * size_of::<PlainBucket>() as u64
}

/// Buckets of a table that is made for so many connections.
#[must_use]
pub const fn buckets_for(connections: u32) -> u32 {
    connections.div_ceil(WAYS / LINES_PER_CONNECTION)
}
