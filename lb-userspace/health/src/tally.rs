//! Counts of checks, and how long they take.

use std::{ops::AddAssign, time::Duration};

/// Upper bounds of the buckets of durations, in seconds; the last bucket has none.
pub const BOUNDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Checks since a target began to be checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    /// Checks that could not be carried out.
    pub unable: u64,
    /// Number of checks whose duration is in each bucket.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Duration of all of them.
    pub duration: Duration,
}

impl Tally {
    pub(super) fn count(&mut self, success: Option<bool>, took: Duration) {
        match success {
            Some(true) => self.passed += 1,
            Some(false) => self.failed += 1,
            None => self.unable += 1,
        }
        let bucket = BOUNDS.iter().take_while(|bound| took.as_secs_f64() > **bound).count();
        self.buckets[bucket] += 1;
        self.duration += took;
    }

    /// Returns the checks after an earlier moment.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets;
        buckets.iter_mut().zip(earlier.buckets).for_each(|(count, before)| *count -= before);
        Self {
            passed: self.passed - earlier.passed,
            failed: self.failed - earlier.failed,
            unable: self.unable - earlier.unable,
            buckets,
            duration: self.duration.saturating_sub(earlier.duration),
        }
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.unable += other.unable;
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.duration += other.duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_in_the_first_bucket_that_it_fits() {
        let mut tally = Tally::default();
        for (success, millis) in [(Some(true), 1), (Some(false), 2), (None, 6_000)] {
            tally.count(success, Duration::from_millis(millis));
        }
        assert_eq!([tally.passed, tally.failed, tally.unable], [1; 3]);
        assert_eq!(tally.buckets, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let mut sum = tally.clone();
        sum += &tally;
        assert_eq!((sum.buckets[10], sum.duration), (2, Duration::from_millis(12_006)));
    }
}
