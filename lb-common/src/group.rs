//! Groups of addresses that one node of a pair serves at a time, and the lease by which it does.

use bytemuck::{Pod, Zeroable};

/// Number of groups, [`NO_GROUP`] included.
pub const GROUPS: u32 = 64;

/// Number of all that is in no group: there is no lease, so it is always served.
pub const NO_GROUP: u32 = 0;

/// Maximum number of bytes of a group's name.
pub const NAME: usize = 64;

/// Maximum number of addresses of all groups.
pub const ADDRESSES: u32 = 8_192;

/// A group in the map, by its number. Programs only read the lease.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Group {
    /// A [`Lease`].
    pub lease: u64,
    /// Time of a lease, in [`moments`](moment), for whoever promotes this node.
    pub length: u64,
    /// UTF-8, followed by zeros.
    pub name: [u8; NAME],
}

/// Number of 64-bit words of a [`Group`].
pub const WORDS: usize = size_of::<Group>() / size_of::<u64>();

/// This node's role for a group: active until some time, unless the lease is extended before; or standby.
///
/// It is one word in the map, changed by compare and swap: an extension undoes no change of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Number of times that this node was promoted for the group.
    epoch: u32,
    /// End of the lease in [`moments`](moment), 0 for standby.
    until: u64,
}

/// Bits of a time. Unlike [`ticks`](crate::flow::ticks), it does not wrap while a machine runs: a lease that
/// has run out must not seem to begin some weeks later.
const TIME_BITS: u32 = 40;

/// Most promotions of a group.
pub const MAX_EPOCH: u32 = (1 << (u64::BITS - TIME_BITS)) - 1;

/// Returns the time of leases, in units of 2^20 ns, about 1.05 ms, from nanoseconds of the coarse monotonic clock,
/// to which programs [convert](crate::clock::Scale) jiffies.
#[must_use]
#[inline(always)]
pub const fn moment(nanos: u64) -> u64 {
    nanos >> 20
}

impl Lease {
    #[must_use]
    #[inline(always)]
    pub const fn of_word(word: u64) -> Self {
        Self { epoch: (word >> TIME_BITS) as u32, until: word & ((1 << TIME_BITS) - 1) }
    }

    #[must_use]
    pub const fn word(self) -> u64 {
        (self.epoch as u64) << TIME_BITS | self.until
    }

    #[must_use]
    pub const fn epoch(self) -> u32 {
        self.epoch
    }

    /// Returns true while the node serves the group.
    #[must_use]
    #[inline(always)]
    pub const fn is_active(self, now: u64) -> bool {
        now < self.until
    }

    /// Returns true for a node that is not active because it never was, or was told not to be. Otherwise its
    /// lease has run out.
    #[must_use]
    pub const fn is_standby(self) -> bool {
        self.until == 0
    }

    /// Returns the time that is left of the lease.
    #[must_use]
    pub const fn left(self, now: u64) -> u64 {
        self.until.saturating_sub(now)
    }

    /// Returns the lease with at least this much time from now on. `None` if the node is not active in this
    /// epoch: what has run out stays so, as another node may be active since.
    #[must_use]
    pub const fn extended(self, epoch: u32, now: u64, length: u64) -> Option<Self> {
        if self.epoch != epoch || !self.is_active(now) {
            return None;
        }
        let until = now + length;
        Some(Self { until: if until < self.until { self.until } else { until }, ..self })
    }

    /// Returns the lease of a node that becomes active. `None` unless the epoch is later than the one that
    /// the node knows.
    #[must_use]
    pub const fn promoted(self, epoch: u32, now: u64, length: u64) -> Option<Self> {
        if epoch <= self.epoch || epoch > MAX_EPOCH {
            return None;
        }
        Some(Self { epoch, until: now + length })
    }

    /// Returns the lease of a node that is standby.
    #[must_use]
    pub const fn demoted(self) -> Self {
        Self { until: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 800;

    #[test]
    fn a_lease_is_one_word() {
        let lease = Lease { epoch: MAX_EPOCH, until: (1 << TIME_BITS) - 1 };
        assert_eq!(Lease::of_word(lease.word()), lease);
        assert_eq!(Lease::of_word(0), Lease::default());
    }

    #[test]
    fn a_node_serves_a_group_until_its_lease_runs_out() {
        let standby = Lease::default();
        assert!(standby.is_standby() && !standby.is_active(0) && standby.left(0) == 0);
        let lease = standby.promoted(1, 1_000, LENGTH).expect("a later epoch");
        assert!(lease.is_active(1_799) && lease.left(1_799) == 1);
        let after_decades = 30 * 365 * 86_400 * 1_000;
        for later in [1_800, after_decades] {
            assert!(!lease.is_active(later) && !lease.is_standby() && lease.left(later) == 0);
        }
        let demoted = lease.demoted();
        assert!(demoted.is_standby() && !demoted.is_active(1_000) && demoted.epoch() == 1);
    }

    #[test]
    fn an_extension_neither_shortens_nor_revives() {
        let lease = Lease::default().promoted(7, 1_000, LENGTH).expect("a later epoch");
        let extended = lease.extended(7, 1_500, LENGTH).expect("active");
        assert_eq!(extended.left(1_500), LENGTH);
        assert_eq!(extended.extended(7, 1_501, 1), Some(extended));
        assert_eq!(lease.extended(7, 1_800, LENGTH), None, "it has run out");
        assert_eq!(lease.extended(6, 1_500, LENGTH), None, "another promotion");
        assert_eq!(lease.demoted().extended(7, 1_500, LENGTH), None);
    }

    #[test]
    fn a_promotion_begins_a_later_epoch() {
        let lease = Lease::default().promoted(7, 0, LENGTH).expect("a later epoch");
        for epoch in [0, 6, 7, MAX_EPOCH + 1] {
            assert_eq!(lease.promoted(epoch, 10, LENGTH), None, "{epoch}");
        }
        assert!(lease.demoted().promoted(8, 10, LENGTH).is_some());
    }
}
