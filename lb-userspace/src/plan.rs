//! Desired content of the kernel's maps, and the order of changes to them.

use std::{collections::HashSet, sync::Arc, time::Instant};

use anyhow::Result;
use imbl::{OrdMap, ordmap::DiffItem};
use lb_common::{
    backend::Backend,
    ring::Ring,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
};

use crate::arena::Arena;

/// Content of the maps that the control plane writes. Clones share common parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    pub services: OrdMap<ServiceKey, ServiceImage>,
    /// By id. Backends stay as long as connections refer to them.
    pub backends: OrdMap<u32, Backend>,
    /// By index.
    pub sources: OrdMap<u32, Source>,
}

impl Image {
    /// Returns the arena with the services' rings.
    #[must_use]
    pub fn arena(&self) -> Arena {
        Arena::with_taken(self.rings())
    }

    /// Returns the services' rings.
    pub fn rings(&self) -> impl Iterator<Item = Ring> {
        self.services.values().map(|service| service.ring)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImage {
    pub ring: Ring,
    pub wanted: Wanted,
}

/// Desired state of a service; the plan allocates its ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub id: u32,
    pub scheduler: Scheduler,
    /// Number of different backends in the ring.
    pub members: u32,
    /// True if a connection that a backend refuses goes to another one.
    pub retries: bool,
    /// Content of the ring's slots.
    pub slots: Arc<[u32]>,
}

impl Wanted {
    /// Returns the map's value with this ring.
    fn service(&self, ring: Ring) -> Service {
        let Self { id, scheduler, members, retries, .. } = *self;
        Service { ring, id, scheduler: scheduler.number(), members, retries: retries.into() }
    }
}

/// Desired content of the maps, without the positions of the rings.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    pub services: OrdMap<ServiceKey, Wanted>,
    pub backends: OrdMap<u32, Backend>,
    pub sources: OrdMap<u32, Source>,
}

/// One write to a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    SetSource { place: u32, source: Source },
    SetBackend { id: u32, backend: Backend },
    WriteSlots { offset: u32, slots: Arc<[u32]> },
    SetService { key: ServiceKey, service: Service },
    RemoveService { key: ServiceKey },
    ClearBackend { id: u32 },
}

/// Plans the changes that turn `current` into `goal`, in an order in which no packet ever sees half a
/// change: sources before the backends that name them, backends before the rings, rings before the services
/// that point at them; then the notes that backends have left their rings, and removals last.
///
/// Returns the operations and the image that they make. Regions are allocated from the arena here; those no
/// longer used are freed.
///
/// # Errors
///
/// If the arena has no room for a ring. It is as before then.
pub fn plan(
    current: &Image,
    goal: &Goal,
    arena: &mut Arena,
    now: Instant,
) -> Result<(Vec<Op>, Image)> {
    let mut places = Places::new(current, arena);
    for (key, wanted) in &goal.services {
        if let Err(error) = places.place(*key, wanted, now) {
            places.undo();
            return Err(error);
        }
    }
    Ok(ordered(current, goal, places, now))
}

/// As [`plan`], but services without room for their rings stay as they are. The last of these errors
/// comes with the plan.
pub fn plan_what_fits(
    current: &Image,
    goal: &Goal,
    arena: &mut Arena,
    now: Instant,
) -> (Vec<Op>, Image, Option<anyhow::Error>) {
    let mut places = Places::new(current, arena);
    let mut missing = None;
    for (key, wanted) in &goal.services {
        if let Err(error) = places.place(*key, wanted, now) {
            places.keep(*key);
            missing = Some(error);
        }
    }
    let (ops, image) = ordered(current, goal, places, now);
    (ops, image, missing)
}

fn ordered(current: &Image, goal: &Goal, places: Places<'_>, now: Instant) -> (Vec<Op>, Image) {
    let mut ops = Vec::new();
    for (place, source) in changed(&current.sources, &goal.sources) {
        ops.push(Op::SetSource { place: *place, source: *source });
    }
    let mut leaving = Vec::new();
    for (id, backend) in changed(&current.backends, &goal.backends) {
        let before =
            current.backends.get(id).map_or((0, 0), |before| (before.left, before.is_down));
        let (left, is_down) = before;
        if (backend.left, backend.is_down) != before && backend.left != 0 {
            leaving.push(Op::SetBackend { id: *id, backend: *backend });
        }
        let present = Backend { left, is_down, ..*backend };
        let early = if backend.left == 0 { *backend } else { present };
        if current.backends.get(id) != Some(&early) {
            ops.push(Op::SetBackend { id: *id, backend: early });
        }
    }
    let mut backends = goal.backends.clone();
    let kept = places.kept.clone();
    let services = places.finish(goal, now, &mut ops);
    ops.extend(leaving);
    for id in gone(&current.backends, &goal.backends) {
        if let Some(backend) = current.backends.get(id).filter(|_| kept.contains(id)) {
            backends.insert(*id, *backend);
        } else {
            ops.push(Op::ClearBackend { id: *id });
        }
    }
    (ops, Image { services, backends, sources: goal.sources.clone() })
}

/// Where rings go: that of a service stays if it is as long as before, or else moves to a free region.
struct Places<'a> {
    current: &'a Image,
    arena: &'a mut Arena,
    placed: OrdMap<ServiceKey, ServiceImage>,
    ops: Vec<Op>,
    taken: Vec<Ring>,
    left: Vec<Ring>,
    /// Backends in rings that stay although their services have changed.
    kept: HashSet<u32>,
}

impl<'a> Places<'a> {
    fn new(current: &'a Image, arena: &'a mut Arena) -> Self {
        let placed = current.services.clone();
        let (ops, taken, left) = (Vec::new(), Vec::new(), Vec::new());
        Self { current, arena, placed, ops, taken, left, kept: HashSet::new() }
    }

    fn place(&mut self, key: ServiceKey, wanted: &Wanted, now: Instant) -> Result<()> {
        let old = self.current.services.get(&key);
        if old.is_some_and(|old| old.wanted == *wanted) {
            return Ok(());
        }
        let length = u32::try_from(wanted.slots.len())?;
        // A packet reads a single slot, which holds either the old or the new value.
        let stays = old.map(|old| old.ring).filter(|ring| ring.length == length);
        let ring = stays.map_or_else(|| self.arena.allocate(length, now), Ok)?;
        if stays.is_none() {
            self.taken.push(ring);
            self.left.extend(old.map(|old| old.ring));
        }
        if length > 0 {
            let slots = Arc::clone(&wanted.slots);
            self.ops.push(Op::WriteSlots { offset: ring.offset, slots });
        }
        self.ops.push(Op::SetService { key, service: wanted.service(ring) });
        self.placed.insert(key, ServiceImage { ring, wanted: wanted.clone() });
        Ok(())
    }

    /// Leaves a service as it is.
    fn keep(&mut self, key: ServiceKey) {
        let old = self.current.services.get(&key);
        self.kept.extend(old.into_iter().flat_map(|old| old.wanted.slots.iter()));
    }

    fn undo(self) {
        self.arena.give_back(self.taken);
    }

    /// Returns the services, and adds the operations that place and remove them.
    fn finish(
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
                self.left.push(old.ring);
            }
        }
        self.arena.free_all(self.left, now);
        self.placed
    }
}

/// Returns added and changed entries.
fn changed<'a, K: Ord + Clone, V: PartialEq + Clone>(
    current: &'a OrdMap<K, V>,
    wanted: &'a OrdMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    current.diff(wanted).filter_map(|item| match item {
        DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => {
            Some((key, value))
        }
        DiffItem::Remove(..) => None,
    })
}

fn gone<'a, K: Ord + Clone, V: PartialEq + Clone>(
    current: &'a OrdMap<K, V>,
    wanted: &'a OrdMap<K, V>,
) -> impl Iterator<Item = &'a K> {
    current.diff(wanted).filter_map(|item| match item {
        DiffItem::Remove(key, _) => Some(key),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ServiceKey = ServiceKey::tcp([0; 16], [0, 80]);

    /// Plans for one service with these slots, and returns the offset of its ring.
    fn follow(image: &mut Image, arena: &mut Arena, slots: &[u32]) -> Result<u32> {
        let wanted = Wanted {
            id: 0,
            scheduler: Scheduler::Maglev,
            members: 1,
            retries: false,
            slots: slots.into(),
        };
        let services = [(KEY, wanted.clone())].into_iter().collect();
        let goal = Goal { services, ..Goal::default() };
        let (ops, next) = plan(image, &goal, arena, Instant::now())?;
        let ring = next.services[&KEY].ring;
        let service = wanted.service(ring);
        let expected = [
            Op::WriteSlots { offset: ring.offset, slots: slots.into() },
            Op::SetService { key: KEY, service },
        ];
        assert_eq!(ops, expected);
        *image = next;
        Ok(ring.offset)
    }

    #[test]
    fn a_ring_moves_only_when_its_length_changes() {
        let (mut image, mut arena) = (Image::default(), Arena::new(7));
        assert_eq!(follow(&mut image, &mut arena, &[1, 2, 3]).unwrap(), 0);
        for last in 4..100 {
            assert_eq!(follow(&mut image, &mut arena, &[1, 2, last]).unwrap(), 0);
        }
        assert_eq!(follow(&mut image, &mut arena, &[1, 2, 3, 4]).unwrap(), 3);
        assert!(follow(&mut image, &mut arena, &[1]).is_err(), "the first one still rests");
    }

    #[test]
    fn a_service_without_room_holds_up_no_other() {
        let (now, mut arena) = (Instant::now(), Arena::new(4));
        let wanted = |id, length: u32| Wanted {
            id,
            scheduler: Scheduler::Maglev,
            members: 1,
            retries: false,
            slots: (1..=length).collect(),
        };
        let key = |port: u16| ServiceKey::tcp([0; 16], port.to_be_bytes());
        let goal = |first, second| Goal {
            services: [(key(1), wanted(0, first)), (key(2), wanted(1, second))]
                .into_iter()
                .collect(),
            ..Goal::default()
        };
        let (_, image) = plan(&Image::default(), &goal(1, 1), &mut arena, now).expect("room");
        for _ in 0..3 {
            plan(&image, &goal(3, 2), &mut arena, now).expect_err("no room");
        }
        let (ops, next, missing) = plan_what_fits(&image, &goal(3, 2), &mut arena, now);
        assert!(missing.is_some(), "{ops:?}");
        assert_eq!(next.services[&key(1)], image.services[&key(1)]);
        assert_eq!(next.services[&key(2)].wanted, wanted(1, 2));
    }
}
