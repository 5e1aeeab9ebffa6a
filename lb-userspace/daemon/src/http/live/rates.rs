//! Rates per second, from the counters of two samples.

use std::{iter::Sum, ops::Add, time::Duration};

use lb_model::views::{BackendStats, Stats};
use serde::Serialize;

/// What has been counted since the last sample.
pub(super) struct Recent {
    pub(super) stats: Stats,
    pub(super) over: Duration,
}

/// Per second: "in" is from clients, "out" is to clients. Handshakes are few, and their latencies are
/// divided by their number: both are counted, as rounded rates would distort the quotient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Rates {
    connections: u64,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// Number of handshakes since the last sample.
    handshakes: u64,
    /// Sum of the latencies of these handshakes, in microseconds.
    handshake_us: u64,
}

impl Recent {
    pub(super) fn per_second(&self, count: u64) -> u64 {
        let over = u64::try_from(self.over.as_millis()).unwrap_or(u64::MAX).max(1);
        count.saturating_mul(1000).saturating_add(over / 2) / over
    }

    pub(super) fn of(&self, backend: &BackendStats) -> Rates {
        Rates {
            connections: self.per_second(backend.connections),
            packets_in: self.per_second(backend.packets_in),
            packets_out: self.per_second(backend.packets_out),
            bytes_in: self.per_second(backend.bytes_in),
            bytes_out: self.per_second(backend.bytes_out),
            handshakes: backend.handshakes.samples,
            handshake_us: backend.handshakes.total_us,
        }
    }
}

impl Add for Rates {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            packets_in: self.packets_in + other.packets_in,
            packets_out: self.packets_out + other.packets_out,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
            handshakes: self.handshakes + other.handshakes,
            handshake_us: self.handshake_us + other.handshake_us,
        }
    }
}

impl Sum for Rates {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::example::overview;

    #[test]
    fn the_latency_of_a_single_handshake_is_not_rounded_away() {
        let overview = overview();
        let recent = Recent { stats: overview.stats.clone(), over: Duration::from_millis(2_100) };
        let mut backend = overview.services[0].stats.backends[0].clone();
        (backend.handshakes.samples, backend.handshakes.total_us) = (1, 300);
        let rates = recent.of(&backend);
        assert_eq!((rates.handshakes, rates.handshake_us), (1, 300));
    }
}
