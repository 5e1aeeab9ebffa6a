//! What the kernel's maps should hold, and in which order to change them.

use std::{collections::BTreeMap, time::Instant};

use anyhow::Result;
use lb_common::{
    backend::Backend,
    ring::Ring,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
};

use crate::arena::Arena;

/// The content of the maps that the control plane writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    pub services: BTreeMap<ServiceKey, ServiceImage>,
    /// By id. Backends stay as long as connections name them.
    pub backends: BTreeMap<u32, Backend>,
    /// By place in the arena.
    pub sources: BTreeMap<u32, Source>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImage {
    pub id: u32,
    pub ring: Ring,
    pub scheduler: Scheduler,
    /// What the ring's slots hold.
    pub slots: Vec<u32>,
}

/// One write to a map.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    SetSource { place: u32, source: Source },
    SetBackend { id: u32, backend: Backend },
    WriteSlots { offset: u32, slots: Vec<u32> },
    SetService { key: ServiceKey, service: Service },
    RemoveService { key: ServiceKey },
    ClearBackend { id: u32 },
}

/// A service as it should be; where its ring goes is for the plan to find.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: u32,
    pub scheduler: Scheduler,
    pub slots: Vec<u32>,
}

/// What to change so that `current` becomes what is wanted, in an order in which no packet ever
/// meets half a change: sources before the backends that name them, backends before the rings,
/// rings in free regions before the services that point at them, removals last.
///
/// Returns the operations and the image that they make. Regions are taken from the arena here;
/// those that are no longer used begin their rest.
pub fn plan(
    current: &Image,
    services: BTreeMap<ServiceKey, Wanted>,
    backends: BTreeMap<u32, Backend>,
    sources: BTreeMap<u32, Source>,
    arena: &mut Arena,
    now: Instant,
) -> Result<(Vec<Op>, Image)> {
    let mut ops = Vec::new();
    for (place, source) in changed(&current.sources, &sources) {
        ops.push(Op::SetSource { place: *place, source: *source });
    }
    for (id, backend) in changed(&current.backends, &backends) {
        ops.push(Op::SetBackend { id: *id, backend: *backend });
    }
    let services = place_rings(current, services, arena, now, &mut ops)?;
    for (key, old) in &current.services {
        if !services.contains_key(key) {
            ops.push(Op::RemoveService { key: *key });
            arena.free(old.ring, now);
        }
    }
    for id in current.backends.keys().filter(|id| !backends.contains_key(id)) {
        ops.push(Op::ClearBackend { id: *id });
    }
    Ok((ops, Image { services, backends, sources }))
}

/// Gives each service a ring: its old one if the slots are the same, else one in a free region.
fn place_rings(
    current: &Image,
    wanted: BTreeMap<ServiceKey, Wanted>,
    arena: &mut Arena,
    now: Instant,
    ops: &mut Vec<Op>,
) -> Result<BTreeMap<ServiceKey, ServiceImage>> {
    let mut placed = BTreeMap::new();
    let mut left = Vec::new();
    for (key, Wanted { id, scheduler, slots }) in wanted {
        let old = current.services.get(&key);
        if let Some(old) =
            old.filter(|old| (old.id, old.scheduler) == (id, scheduler) && old.slots == slots)
        {
            placed.insert(key, old.clone());
            continue;
        }
        let length = u32::try_from(slots.len())?;
        let allocated = arena.allocate(length, now);
        let ring = match allocated {
            Ok(ring) => ring,
            Err(error) => {
                give_back(&left, arena, now);
                return Err(error);
            }
        };
        left.push((ring, old.map(|old| old.ring)));
        if length > 0 {
            ops.push(Op::WriteSlots { offset: ring.offset, slots: slots.clone() });
        }
        ops.push(Op::SetService {
            key,
            service: Service { ring, id, scheduler: scheduler.number() },
        });
        placed.insert(key, ServiceImage { id, ring, scheduler, slots });
    }
    for old in left.into_iter().filter_map(|(_, old)| old) {
        arena.free(old, now);
    }
    Ok(placed)
}

fn give_back(taken: &[(Ring, Option<Ring>)], arena: &mut Arena, now: Instant) {
    for (ring, _) in taken {
        arena.free(*ring, now);
    }
}

fn changed<'a, K: Ord, V: PartialEq>(
    current: &'a BTreeMap<K, V>,
    wanted: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    wanted.iter().filter(|(key, value)| current.get(key) != Some(value))
}
