//! Positions of rings in the arena.

use std::{collections::HashSet, sync::Arc, time::Instant};

use imbl::OrdMap;
use lb_common::{ring::Ring, service::ServiceKey};

use super::{Goal, Image, Op, ServiceImage, Wanted};
use crate::arena::{Arena, NoRoom};

/// Places of rings: that of a service stays in its region as long as it fits, or else moves to a free one, or
/// to one that overlaps it.
pub(super) struct Places<'a> {
    current: &'a Image,
    arena: &'a mut Arena,
    placed: OrdMap<ServiceKey, ServiceImage>,
    ops: Vec<Op>,
    left: Vec<Ring>,
    /// Former VIPs of services that took their regions along.
    moved: HashSet<ServiceKey>,
    /// Backends in rings that stay although their services have changed.
    pub(super) kept: HashSet<u32>,
}

impl<'a> Places<'a> {
    pub(super) fn new(current: &'a Image, arena: &'a mut Arena) -> Self {
        let placed = current.services.clone();
        let (ops, left, moved, kept) = Default::default();
        Self { current, arena, placed, ops, left, moved, kept }
    }

    /// Fits the regions of services that stay to what they may need, before others take the room.
    pub(super) fn reserve(&mut self, goal: &Goal, now: Instant) {
        for (key, wanted) in &goal.services {
            let Some(old) = self.current.services.get(key) else { continue };
            let region = self.arena.fit(old.region, wanted.reserved(), now);
            if region != old.region {
                self.placed.insert(*key, ServiceImage { region, ..old.clone() });
            }
        }
    }

    pub(super) fn place(
        &mut self,
        key: ServiceKey,
        wanted: &Wanted,
        goal: &Goal,
        now: Instant,
    ) -> Result<(), NoRoom> {
        let old = self.placed.get(&key);
        if old.is_some_and(|old| old.wanted.is_same(wanted)) {
            return Ok(());
        }
        let region = match old.map(|old| old.region) {
            Some(region) => self.arena.replace(region, wanted.length(), wanted.reserved(), now)?,
            None => self.settle(wanted, goal, now)?,
        };
        // A packet reads a single slot, which holds either the old or the new value.
        let ring = Ring { length: wanted.length(), ..region };
        if ring.length > 0 {
            let slots = Arc::clone(&wanted.slots);
            self.ops.push(Op::WriteSlots { offset: ring.offset, slots });
        }
        self.ops.push(Op::SetService { key, service: wanted.service(ring) });
        self.placed.insert(key, ServiceImage { ring, region, wanted: wanted.clone() });
        Ok(())
    }

    /// Returns a region for a VIP that had none: a free one, or that of the service's former VIP.
    fn settle(&mut self, wanted: &Wanted, goal: &Goal, now: Instant) -> Result<Ring, NoRoom> {
        let no_room = match self.arena.allocate(wanted.reserved(), now) {
            Ok(region) => return Ok(region),
            Err(no_room) => no_room,
        };
        let former = self.current.services.iter().find(|(key, old)| {
            old.wanted.id == wanted.id
                && !goal.services.contains_key(*key)
                && !self.moved.contains(*key)
        });
        let Some((key, old)) = former else {
            return self.arena.allocate(wanted.length(), now).map_err(|_| no_room);
        };
        let region = self.arena.fit(old.region, wanted.reserved(), now);
        let region = self.arena.replace(region, wanted.length(), wanted.reserved(), now)?;
        self.moved.insert(*key);
        Ok(region)
    }

    /// Leaves a service as it is.
    pub(super) fn keep(&mut self, key: ServiceKey) {
        let old = self.current.services.get(&key);
        self.kept.extend(old.into_iter().flat_map(|old| old.wanted.slots.iter()));
    }

    /// Returns the services, and adds the operations that place and remove them.
    pub(super) fn finish(
        mut self,
        goal: &Goal,
        now: Instant,
        ops: &mut Vec<Op>,
    ) -> OrdMap<ServiceKey, ServiceImage> {
        ops.append(&mut self.ops);
        for (key, old) in &self.current.services {
            if !goal.services.contains_key(key) {
                ops.push(Op::RemoveService { key: *key });
                self.placed.remove(key);
                if !self.moved.contains(key) {
                    self.left.push(old.region);
                }
            }
        }
        self.arena.free_all(self.left, now);
        self.placed
    }
}
