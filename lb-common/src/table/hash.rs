use bytemuck::{Pod, Zeroable};

use super::WAYS;
use crate::{
    flow::{FACTORS, Family, Tuple},
    mix::mix,
};

/// Seed of a table's hash: random, so that nobody outside can aim at a bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Seed(pub [u64; FACTORS]);

/// Sixty-four bits: the upper half chooses the bucket, the lower half is the fingerprint, and its
/// lowest bits select the home entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

impl Seed {
    /// Returns a seed that follows from a number, for tests and benchmarks, which are to be repeated.
    #[must_use]
    pub const fn of_number(number: u64) -> Self {
        let mut factors = [0; FACTORS];
        let (mut index, mut state) = (0, number);
        while index < FACTORS {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            factors[index] = mix(state);
            index += 1;
        }
        Self(factors)
    }

    /// A sum of products with random factors, which no two keys share but by a chance that nobody
    /// can raise without the seed (M. Dietzfelbinger, "Universal hashing and k-wise independent
    /// random variables via integer arithmetic without primes", STACS 1996), mixed so that keys in
    /// a row fall as random ones do.
    #[must_use]
    #[inline(always)]
    pub fn hash<F: Family>(&self, key: &Tuple<F>) -> Hash {
        Hash(mix(key.product(&self.0)))
    }
}

impl Hash {
    /// Returns one of this many buckets; for later choices the next one, if those before are full.
    #[must_use]
    #[inline(always)]
    pub const fn bucket(self, choice: u32, buckets: u32) -> u32 {
        /// Even, so that it makes odd factors, which lose nothing.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c14;
        let chosen = self.0.wrapping_mul((choice as u64).wrapping_mul(SPREAD) + 1);
        (((chosen >> 32) * buckets as u64) >> 32) as u32
    }

    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub const fn fingerprint(self) -> u32 {
        self.0 as u32
    }

    /// Returns the way of the home entry in its bucket.
    #[must_use]
    #[inline(always)]
    pub const fn home(self) -> u32 {
        self.fingerprint() % WAYS
    }
}
