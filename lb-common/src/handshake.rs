//! Handshake latency: from a client's first SYN to its backend's SYN-ACK, of one in 16 connections.

use crate::{
    flow::{Family, Pair},
    mix::mix,
    stats::LATENCY_BUCKETS,
};

/// Number of handshakes under way that are remembered: a later one takes the place of an earlier one.
pub const SLOTS: u32 = 4_096;

/// One in so many connections is sampled, as reading the clock costs more than a look-up.
pub const EACH: u32 = 16;

/// A sampled connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of the slot for its start.
    pub slot: u32,
    /// Tells it from others with this slot.
    key: u32,
}

impl Sample {
    /// Returns a connection's sample, if it is one of those that are sampled: by both of its ports, so that
    /// no regular sequence of ports is preferred.
    #[must_use]
    #[inline(always)]
    pub fn of<F: Family<PairWords: AsRef<[u64]>>>(pair: Pair<F>) -> Option<Self> {
        /// 2^32 by the golden ratio: D. Knuth, The Art of Computer Programming, volume 3, 6.4.
        const FACTOR: u32 = 0x9e37_79b9;
        if pair.ports().wrapping_mul(FACTOR) >> (u32::BITS - EACH.ilog2()) != 0 {
            return None;
        }
        let words = pair.with_hop(0).words();
        let mixed = words.as_ref().iter().fold(0, |sum, word| mix(sum ^ word));
        Some(Self::of_mixed(mixed))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "parts of the word")]
    const fn of_mixed(mixed: u64) -> Self {
        Self { slot: mixed as u32 % SLOTS, key: (mixed >> u32::BITS) as u32 }
    }

    /// Returns the word that stands for the start of the handshake at this time, in nanoseconds.
    #[must_use]
    #[inline(always)]
    pub const fn started(self, now: u64) -> u64 {
        (self.key as u64) << u32::BITS | micros(now) as u64
    }

    /// Returns the nanoseconds from the start in the slot to this time, if the slot is this connection's.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the half with the time")]
    pub const fn latency(self, slot: u64, now: u64) -> Option<u64> {
        if slot >> u32::BITS != self.key as u64 {
            return None;
        }
        Some(micros(now).wrapping_sub(slot as u32) as u64 * 1_000)
    }
}

/// Returns microseconds, which wrap after more than an hour: no handshake takes so long.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "wraps")]
const fn micros(nanos: u64) -> u32 {
    (nanos / 1_000) as u32
}

/// Returns the index of the bucket of a latency in nanoseconds: bucket n holds those up to 2^n µs that are
/// greater than 2^(n-1) µs, the last one all others.
#[must_use]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "clamped")]
pub const fn bucket(nanos: u64) -> u32 {
    let beyond = nanos.saturating_sub(1) / 1_000;
    let beyond = if beyond > u32::MAX as u64 { u32::MAX } else { beyond as u32 };
    let bucket = u32::BITS - beyond.leading_zeros();
    if bucket < LATENCY_BUCKETS { bucket } else { LATENCY_BUCKETS - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowKey;

    fn pair(client_port: u16, source_port: u16, hop: u32) -> Pair {
        let inside =
            FlowKey::tcp([192, 0, 2, 7], client_port.to_be_bytes(), [10, 0, 0, 1], [0, 80]);
        let outside =
            FlowKey::tcp([10, 0, 0, 9], source_port.to_be_bytes(), [10, 0, 0, 2], [0, 80]);
        Pair::new(&inside, &outside, 3, hop)
    }

    #[test]
    fn one_in_sixteen_is_sampled_however_the_ports_go_on() {
        for (client, source) in [(0, 1), (1, 0), (1, 1), (2, 1), (16, 16), (7, 16), (2, 256)] {
            let ports = |step: u16, n: u16| 10_000_u16.wrapping_add(step.wrapping_mul(n));
            let sampled = (0..4_096)
                .filter(|n| Sample::of(pair(ports(client, *n), ports(source, *n), 0)).is_some())
                .count();
            assert!((128..512).contains(&sampled), "{sampled} of 4096 by {client} and {source}");
        }
    }

    #[test]
    fn a_latency_is_of_the_same_connection_though_its_client_moves() {
        let find = |hop| (0..).find_map(|port| Sample::of(pair(port, 7, hop)));
        let (sample, moved) = (find(0).expect("sampled"), find(5).expect("sampled"));
        assert_eq!(sample, moved);
        let nearly_wrapped = (u64::from(u32::MAX) - 10) * 1_000;
        let slot = sample.started(nearly_wrapped);
        assert_eq!(moved.latency(slot, nearly_wrapped + 64_000), Some(64_000));
        let other = (0..).find_map(|port| Sample::of(pair(port, 8, 0))).expect("sampled");
        assert_eq!(other.latency(slot, nearly_wrapped + 64_000), None);
    }

    #[test]
    fn bounds_belong_to_the_bucket_below() {
        for (nanos, expected) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (2_000, 1),
            (2_001, 2),
            (4_000, 2),
            (1_024_000, 10),
            (1_024_001, 11),
            (u64::MAX, LATENCY_BUCKETS - 1),
        ] {
            assert_eq!(bucket(nanos), expected, "{nanos}");
        }
    }
}
