//! Allocator of regions in the arena of ring slots.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use lb_common::{limits, ring::Ring};

/// Delay before a freed region is reused: far longer than a packet can take between reading a
/// ring's location and reading its slots.
pub const GRACE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct Arena {
    size: u32,
    /// Sorted by offset. Only claimed regions may overlap or lie out of bounds.
    taken: Vec<Ring>,
    resting: Vec<(Instant, Ring)>,
}

impl Arena {
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { size, taken: Vec::new(), resting: Vec::new() }
    }

    /// Creates an arena with the regions of an image allocated.
    #[must_use]
    pub fn with_taken(rings: impl IntoIterator<Item = Ring>) -> Self {
        let mut arena = Self::new(limits::RING_SLOTS);
        rings.into_iter().for_each(|ring| arena.claim(ring));
        arena
    }

    /// Takes these regions, which the maps were found to use. Other allocated regions are freed now.
    pub fn follow(&mut self, rings: impl IntoIterator<Item = Ring>, now: Instant) {
        let former = std::mem::replace(self, Self { size: self.size, ..Self::with_taken(rings) });
        let place = |ring: &Ring| (ring.offset, ring.length);
        let used: BTreeSet<_> = self.taken.iter().map(place).collect();
        for ring in former.taken.into_iter().filter(|ring| !used.contains(&place(ring))) {
            self.claim(ring);
            self.free(ring, now);
        }
    }

    /// Marks a region as allocated by an earlier process. The region is not validated.
    pub fn claim(&mut self, ring: Ring) {
        if ring.length == 0 {
            return;
        }
        let place = self.taken.partition_point(|other| other.offset < ring.offset);
        self.taken.insert(place, ring);
    }

    /// Allocates the first gap of `length` slots.
    pub fn allocate(&mut self, length: u32, now: Instant) -> Result<Ring> {
        if length == 0 {
            return Ok(Ring::default());
        }
        self.reclaim(now);
        let mut offset = 0;
        for ring in &self.taken {
            if ring.offset.saturating_sub(offset) >= length {
                break;
            }
            offset = offset.max(ring.offset.saturating_add(ring.length));
        }
        if self.size.saturating_sub(offset) < length {
            bail!(
                "no room for a ring of {length} slots: all rings together may have {}; \
                 use smaller weights with a common divisor, or fewer backends",
                self.size
            );
        }
        let ring = Ring { offset, length };
        self.claim(ring);
        Ok(ring)
    }

    pub fn free(&mut self, ring: Ring, now: Instant) {
        self.free_all([ring], now);
    }

    pub fn free_all(&mut self, rings: impl IntoIterator<Item = Ring>, now: Instant) {
        let rings = rings.into_iter().filter(|ring| ring.length > 0);
        self.resting.extend(rings.map(|ring| (now, ring)));
    }

    /// Takes regions back that no packet has seen.
    pub fn give_back(&mut self, rings: impl IntoIterator<Item = Ring>) {
        for ring in rings.into_iter().filter(|ring| ring.length > 0) {
            if let Some(place) = self.taken.iter().position(|other| *other == ring) {
                self.taken.remove(place);
            }
        }
    }

    fn reclaim(&mut self, now: Instant) {
        let taken = &mut self.taken;
        self.resting.retain(|(freed, ring)| {
            let rested = now.duration_since(*freed) >= GRACE;
            if rested && let Some(place) = taken.iter().position(|other| other == ring) {
                taken.remove(place);
            }
            !rested
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_region_rests_before_it_is_given_out_again() {
        let start = Instant::now();
        let mut arena = Arena::new(10);
        let first = arena.allocate(6, start).unwrap();
        arena.free(first, start);
        assert!(arena.allocate(6, start).is_err());
        assert_eq!(arena.allocate(6, start + GRACE).unwrap(), first);
    }

    #[test]
    fn regions_that_the_maps_no_longer_name_rest_before_they_are_given_out_again() {
        let start = Instant::now();
        let mut arena = Arena::new(10);
        let first = arena.allocate(6, start).unwrap();
        arena.follow([], start);
        assert!(arena.allocate(6, start).is_err(), "a packet may be on its way to its slots");
        assert_eq!(arena.allocate(6, start + GRACE).unwrap(), first);
    }

    #[test]
    fn gaps_are_filled_and_regions_never_overlap() {
        let now = Instant::now();
        let mut arena = Arena::new(100);
        arena.claim(Ring { offset: 10, length: 5 });
        assert_eq!(arena.allocate(10, now).unwrap(), Ring { offset: 0, length: 10 });
        assert_eq!(arena.allocate(10, now).unwrap(), Ring { offset: 15, length: 10 });
        assert!(arena.allocate(76, now).is_err());
        assert_eq!(arena.allocate(75, now).unwrap(), Ring { offset: 25, length: 75 });
    }

    #[test]
    fn regions_that_overlap_or_lie_outside_are_left_alone() {
        let now = Instant::now();
        let ring = |offset, length| Ring { offset, length };
        let mut arena = Arena::new(100);
        for claimed in [ring(10, 20), ring(10, 5), ring(15, 30), ring(90, u32::MAX)] {
            arena.claim(claimed);
        }
        assert_eq!(arena.allocate(20, now).unwrap(), ring(45, 20));
        assert!(arena.allocate(26, now).is_err());
        // The other region at its offset stays allocated.
        arena.free(ring(10, 5), now);
        assert_eq!(arena.allocate(12, now + GRACE).unwrap(), ring(65, 12));
        assert!(arena.allocate(30, now + GRACE).is_err());
    }

    #[test]
    fn an_empty_ring_takes_no_room() {
        let mut arena = Arena::new(1);
        assert_eq!(arena.allocate(0, Instant::now()).unwrap(), Ring::default());
        assert!(arena.allocate(1, Instant::now()).is_ok());
    }
}
