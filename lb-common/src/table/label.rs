use bytemuck::{Pod, Zeroable};

use super::{PlainBucket, Seed};

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
