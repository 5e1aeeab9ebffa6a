//! Allocator of regions in the arena of ring slots.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use lb_common::{limits, ring::Ring};

/// Delay before a freed region is reused: far longer than a packet can take between reading a
/// ring's location and reading its slots.
pub const GRACE: Duration = Duration::from_secs(1);

/// Error: no gap is long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    length: u32,
    size: u32,
    /// True if there is room after the freed regions have rested.
    pub is_temporary: bool,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, size, is_temporary } = self;
        write!(f, "no room for a ring of {length} slots at present: ")?;
        if *is_temporary {
            return write!(f, "the slots of the last change are free in a second: try again");
        }
        write!(
            f,
            "all rings together may have {size}; use smaller weights with a common divisor, or fewer \
             backends"
        )
    }
}

impl std::error::Error for NoRoom {}

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

    /// Allocates `length` slots in the smallest gap, so that large gaps are left to long rings.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such gap.
    pub fn allocate(&mut self, length: u32, now: Instant) -> Result<Ring, NoRoom> {
        if length == 0 {
            return Ok(Ring::default());
        }
        self.reclaim(now);
        let Some(ring) = self.gap(length) else {
            let is_temporary = self.rested(now).gap(length).is_some();
            return Err(NoRoom { length, size: self.size, is_temporary });
        };
        self.claim(ring);
        Ok(ring)
    }

    /// Returns the arena as it is when the freed regions have rested.
    fn rested(&self, now: Instant) -> Self {
        let mut rested = self.clone();
        rested.reclaim(now + GRACE);
        rested
    }

    /// Returns a region of `length` slots in the smallest gap.
    fn gap(&self, length: u32) -> Option<Ring> {
        let gaps = self.gaps().filter(|gap| gap.length >= length);
        let Ring { offset, .. } = gaps.min_by_key(|gap| gap.length)?;
        Some(Ring { offset, length })
    }

    /// Shortens a region to `length` slots, or extends it if the slots behind it are free.
    pub fn fit(&mut self, region: Ring, length: u32, now: Instant) -> Ring {
        let fitting = Ring { length, ..region };
        if length == region.length || !self.remove(region) {
            return region;
        }
        self.reclaim(now);
        if length < region.length {
            self.claim(fitting);
            self.rest(Ring { offset: region.offset + length, length: region.length - length }, now);
            return fitting;
        }
        let fitting = if self.is_free(fitting) { fitting } else { region };
        self.claim(fitting);
        fitting
    }

    /// Returns a region of `wanted` slots, or at least of `length` slots, for a ring that is in another
    /// region. They may overlap: each slot then holds the ring's old value or its new one.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if there is no room.
    pub fn replace(
        &mut self,
        region: Ring,
        length: u32,
        wanted: u32,
        now: Instant,
    ) -> Result<Ring, NoRoom> {
        if region.length >= wanted {
            return Ok(region);
        }
        if let Ok(beside) = self.allocate(wanted, now) {
            self.free(region, now);
            return Ok(beside);
        }
        if let Some(over) = self.overlap(region, wanted, now) {
            return Ok(over);
        }
        if region.length >= length {
            return Ok(region);
        }
        if let Some(over) = self.overlap(region, length, now) {
            return Ok(over);
        }
        let beside = self.allocate(length, now).map_err(|no_room| {
            let overlaps = self.rested(now).overlap(region, length, now).is_some();
            NoRoom { is_temporary: no_room.is_temporary || overlaps, ..no_room }
        })?;
        self.free(region, now);
        Ok(beside)
    }

    /// Moves a region to a gap that includes it. Slots that it leaves rest.
    fn overlap(&mut self, region: Ring, length: u32, now: Instant) -> Option<Ring> {
        if !self.remove(region) {
            return None;
        }
        let Some(moved) = self.gap(length) else {
            self.claim(region);
            return None;
        };
        self.claim(moved);
        let (end, moved_end) = (region.offset + region.length, moved.offset + moved.length);
        let before = region.offset..end.min(moved.offset);
        let behind = region.offset.max(moved_end)..end;
        for left in [before, behind] {
            self.rest(
                Ring { offset: left.start, length: left.end.saturating_sub(left.start) },
                now,
            );
        }
        Some(moved)
    }

    /// Removes an allocated region. An empty one is never there.
    fn remove(&mut self, region: Ring) -> bool {
        if region.length == 0 {
            return true;
        }
        let place = self.taken.iter().position(|other| *other == region);
        place.map(|place| self.taken.remove(place)).is_some()
    }

    /// Keeps a region allocated for a while.
    fn rest(&mut self, region: Ring, now: Instant) {
        self.claim(region);
        self.free(region, now);
    }

    fn is_free(&self, region: Ring) -> bool {
        let end = |ring: &Ring| ring.offset.saturating_add(ring.length);
        let is_apart = |other: &Ring| end(other) <= region.offset || end(&region) <= other.offset;
        end(&region) <= self.size && self.taken.iter().all(is_apart)
    }

    fn gaps(&self) -> impl Iterator<Item = Ring> {
        let end = Ring { offset: self.size, length: 0 };
        let mut offset = 0;
        self.taken.iter().copied().chain([end]).map(move |ring| {
            let gap = Ring { offset, length: ring.offset.min(end.offset).saturating_sub(offset) };
            offset = offset.max(ring.offset.saturating_add(ring.length));
            gap
        })
    }

    pub fn free(&mut self, ring: Ring, now: Instant) {
        self.free_all([ring], now);
    }

    pub fn free_all(&mut self, rings: impl IntoIterator<Item = Ring>, now: Instant) {
        let rings = rings.into_iter().filter(|ring| ring.length > 0);
        self.resting.extend(rings.map(|ring| (now, ring)));
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
    fn short_rings_leave_the_room_of_a_long_one_that_is_empty_for_now() {
        let now = Instant::now();
        let mut arena = Arena::new(100);
        let long = arena.allocate(60, now).unwrap();
        arena.allocate(10, now).unwrap();
        arena.free(long, now);
        let later = now + GRACE;
        assert_eq!(arena.allocate(30, later).unwrap(), Ring { offset: 70, length: 30 });
        assert_eq!(arena.allocate(60, later).unwrap(), long);
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
