//! Desired content of the kernel's maps, and the order of changes to them.

use std::{sync::Arc, time::Instant};

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

/// Plans the changes from `current` to `goal`, ordered so that no packet sees a partial change:
/// sources before the backends that refer to them, backends before the rings, rings before the
/// services that point to them; then the marks of backends that have left their rings, and removals
/// last.
///
/// Returns the operations and the resulting image. Allocates regions from the arena; those no
/// longer used start their rest.
pub fn plan(
    current: &Image,
    goal: &Goal,
    arena: &mut Arena,
    now: Instant,
) -> Result<(Vec<Op>, Image)> {
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
    let services = place_rings(current, goal, arena, now, &mut ops)?;
    ops.extend(leaving);
    for id in gone(&current.backends, &goal.backends) {
        ops.push(Op::ClearBackend { id: *id });
    }
    let (backends, sources) = (goal.backends.clone(), goal.sources.clone());
    Ok((ops, Image { services, backends, sources }))
}

/// Assigns a ring to each changed service: its own if the length is the same, or else one in a free
/// region, and frees the old ones.
fn place_rings(
    current: &Image,
    goal: &Goal,
    arena: &mut Arena,
    now: Instant,
    ops: &mut Vec<Op>,
) -> Result<OrdMap<ServiceKey, ServiceImage>> {
    let mut placed = current.services.clone();
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for (key, wanted) in &goal.services {
        let old = current.services.get(key);
        if old.is_some_and(|old| old.wanted == *wanted) {
            continue;
        }
        let length = u32::try_from(wanted.slots.len())?;
        // A packet reads a single slot, which holds either the old or the new value.
        let stays = old.map(|old| old.ring).filter(|ring| ring.length == length);
        let ring = match stays.map_or_else(|| arena.allocate(length, now), Ok) {
            Ok(ring) => ring,
            Err(error) => {
                arena.free_all(taken, now);
                return Err(error);
            }
        };
        if stays.is_none() {
            taken.push(ring);
            left.extend(old.map(|old| old.ring));
        }
        if length > 0 {
            ops.push(Op::WriteSlots { offset: ring.offset, slots: Arc::clone(&wanted.slots) });
        }
        ops.push(Op::SetService { key: *key, service: wanted.service(ring) });
        placed.insert(*key, ServiceImage { ring, wanted: wanted.clone() });
    }
    for (key, old) in &current.services {
        if !goal.services.contains_key(key) {
            ops.push(Op::RemoveService { key: *key });
            placed.remove(key);
            left.push(old.ring);
        }
    }
    arena.free_all(left, now);
    Ok(placed)
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
}
