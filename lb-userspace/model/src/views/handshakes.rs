//! Latency of handshakes.

use std::time::Duration;

use lb_common::stats::TcpStats;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Time from a client's first SYN to its backend's SYN-ACK, of one in 16 connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handshakes {
    /// Number of handshakes that were measured.
    pub samples: u64,
    /// Sum of their latencies, in microseconds.
    pub total_us: u64,
    /// Number of them by latency: at place n those of up to 2^n microseconds that are not counted before. The
    /// last place of all, 27, has no upper bound. Zeros at the end are left out.
    pub buckets: Vec<u64>,
}

impl Handshakes {
    #[must_use]
    pub fn of(counted: &TcpStats) -> Self {
        let used =
            counted.handshakes.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let buckets = counted.handshakes[..used].to_vec();
        Self { samples: buckets.iter().sum(), total_us: counted.handshake_nanos / 1_000, buckets }
    }

    /// Returns the latency that this share of the handshakes does not exceed, from 0 to 1, on the assumption that
    /// those of a bucket are spread evenly; None without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "as precise as the buckets are")]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = share * self.samples as f64;
        let mut below = 0.0;
        for (place, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = *count as f64;
            if below + count >= wanted {
                let upper = (1_u64 << place) as f64;
                let lower = if place == 0 { 0.0 } else { upper / 2.0 };
                let micros = lower + (upper - lower) * (wanted - below) / count;
                return Some(Duration::from_secs_f64(micros / 1e6));
            }
            below += count;
        }
        None
    }

    pub(super) fn subtract(&mut self, before: &Self) {
        self.samples = self.samples.saturating_sub(before.samples);
        self.total_us = self.total_us.saturating_sub(before.total_us);
        for (count, before) in self.buckets.iter_mut().zip(&before.buckets) {
            *count = count.saturating_sub(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(handshakes: &[(usize, u64)]) -> Handshakes {
        let mut counted = TcpStats { handshake_nanos: 5_000_999, ..TcpStats::default() };
        for (place, count) in handshakes {
            counted.handshakes[*place] = *count;
        }
        Handshakes::of(&counted)
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let of = counted(&[(7, 90), (14, 10)]);
        assert_eq!((of.samples, of.total_us, of.buckets.len()), (100, 5_000, 15));
        assert_eq!(of.quantile(0.45), Some(Duration::from_micros(96)));
        assert_eq!(of.quantile(0.9), Some(Duration::from_micros(128)));
        assert_eq!(of.quantile(1.0), Some(Duration::from_micros(16_384)));
        assert_eq!(counted(&[(0, 4)]).quantile(0.5), Some(Duration::from_nanos(500)));
        assert_eq!(counted(&[]).quantile(0.5), None);
    }

    #[test]
    fn a_difference_has_what_came_between() {
        let mut later = counted(&[(7, 90), (14, 10)]);
        later.subtract(&counted(&[(7, 80)]));
        assert_eq!((later.samples, later.buckets[7], later.buckets[14]), (20, 10, 10));
    }
}
