//! Desired content of the kernel's maps, and the order of changes to them.

mod places;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use anyhow::Result;
use imbl::OrdMap;
use lb_common::{
    backend::Backend,
    ring::Ring,
    schedule::Scheduler,
    service::{Service, ServiceKey},
    snat::Source,
};

use self::places::Places;
use crate::{
    arena::Arena,
    changes::{changed, gone},
};

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

    /// Returns the regions of the services' rings.
    pub fn rings(&self) -> impl Iterator<Item = Ring> {
        self.services.values().map(|service| service.region)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceImage {
    pub ring: Ring,
    /// Slots reserved for the ring, which begins there.
    pub region: Ring,
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
    /// Number of the group of its VIP.
    pub group: u16,
    /// Content of the ring's slots.
    pub slots: Arc<[u32]>,
    /// Number of slots that the ring may need as its backends come and go. They are reserved, so that there
    /// is room whenever this happens. Not in the maps.
    pub room: u32,
}

impl Wanted {
    /// Returns true if both are the same in the maps.
    fn is_same(&self, other: &Self) -> bool {
        Self { room: other.room, ..self.clone() } == *other
    }

    /// Returns the length of the ring.
    fn length(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Returns the length of the region to reserve.
    fn reserved(&self) -> u32 {
        self.room.max(self.length())
    }

    /// Returns the map's value with this ring.
    fn service(&self, ring: Ring) -> Service {
        let Self { id, scheduler, members, retries, group, .. } = *self;
        let (scheduler, retries) = (scheduler.number(), retries.into());
        Service { ring, id, scheduler, members, retries, group }
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
    SetSource {
        place: u32,
        source: Source,
    },
    SetBackend {
        id: u32,
        backend: Backend,
    },
    WriteSlots {
        offset: u32,
        slots: Arc<[u32]>,
    },
    SetService {
        key: ServiceKey,
        service: Service,
    },
    RemoveService {
        key: ServiceKey,
    },
    /// Adds the counters of an id to those of another one of the same backend.
    PassTraffic {
        from: u32,
        to: u32,
    },
    /// Adds the counters of an id to what its service keeps of removed backends.
    KeepTraffic {
        from: u32,
        service: u32,
    },
    /// Clears what a service keeps of removed backends.
    ClearKept {
        service: u32,
    },
    ClearBackend {
        id: u32,
    },
}

/// Changes of the maps.
#[derive(Debug)]
pub struct Plan {
    pub ops: Vec<Op>,
    /// Content of the maps after the operations.
    pub image: Image,
    /// Error of the first service without room for its ring.
    pub missing: Option<anyhow::Error>,
}

/// Plans the changes that turn `current` into `goal`, in an order in which no packet ever sees half a
/// change: sources before the backends that name them, backends before the rings, rings before the services
/// that point at them; then the notes that backends have left their rings, and removals last. Only a service
/// that takes its region along to another VIP has slots of the new VIP's backends under the old one for a
/// moment: the program opens no connection by a backend of another VIP. The counters of a removed id are
/// passed to another id of its backend, or else kept by its service.
///
/// Regions are allocated from the arena here; those no longer used are freed. A service without room for its
/// ring stays as it is, if it is the same in `former`: only changes need room at once.
///
/// # Errors
///
/// Returns an error if the arena has no room for the ring of a changed service, and leaves it as before.
pub fn plan(
    current: &Image,
    goal: &Goal,
    former: &Goal,
    arena: &mut Arena,
    now: Instant,
) -> Result<Plan> {
    let before = arena.clone();
    let mut places = Places::new(current, arena);
    places.reserve(goal, now);
    let mut missing = None;
    for (key, wanted) in &goal.services {
        let Err(error) = places.place(*key, wanted, goal, now) else { continue };
        if former.services.get(key) != Some(wanted) {
            *arena = before;
            return Err(error.into());
        }
        places.keep(*key);
        missing.get_or_insert(error.into());
    }
    let (ops, image) = ordered(current, goal, places, now);
    Ok(Plan { ops, image, missing })
}

fn ordered(current: &Image, goal: &Goal, places: Places<'_>, now: Instant) -> (Vec<Op>, Image) {
    let mut ops = Vec::new();
    for (place, source) in changed(&current.sources, &goal.sources) {
        ops.push(Op::SetSource { place: *place, source: *source });
    }
    let new = new_services(current, goal);
    ops.extend(new.into_iter().map(|service| Op::ClearKept { service }));
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
    let (stay, clear): (Vec<_>, Vec<_>) =
        gone(&current.backends, &goal.backends).partition(|(id, _)| kept.contains(*id));
    backends.extend(stay.into_iter().map(|(id, backend)| (*id, *backend)));
    let heirs = if clear.is_empty() { HashMap::new() } else { heirs(&goal.backends) };
    for (id, backend) in clear {
        ops.push(match heirs.get(&server(backend)) {
            Some(heir) => Op::PassTraffic { from: *id, to: *heir },
            None => Op::KeepTraffic { from: *id, service: backend.service },
        });
        ops.push(Op::ClearBackend { id: *id });
    }
    (ops, Image { services, backends, sources: goal.sources.clone() })
}

/// Returns the ids of services that nothing in the maps is of.
fn new_services(current: &Image, goal: &Goal) -> BTreeSet<u32> {
    let added = goal.services.iter().filter(|(key, _)| !current.services.contains_key(*key));
    let mut ids: BTreeSet<u32> = added.map(|(_, wanted)| wanted.id).collect();
    if !ids.is_empty() {
        let services = current.services.values().map(|known| known.wanted.id);
        let known = services.chain(current.backends.values().map(|known| known.service));
        for id in known {
            ids.remove(&id);
        }
    }
    ids
}

/// Service id, address and port: the same for all ids of a backend.
pub type Server = (u32, [u8; 16], [u8; 2]);

#[must_use]
pub fn server(backend: &Backend) -> Server {
    (backend.service, backend.address, backend.port)
}

/// Returns the id of each backend that its counters are passed to: the one in a ring, if any.
fn heirs(backends: &OrdMap<u32, Backend>) -> HashMap<Server, u32> {
    let (present, away): (Vec<_>, Vec<_>) =
        backends.iter().partition(|(_, backend)| backend.left == 0);
    away.into_iter().chain(present).map(|(id, backend)| (server(backend), *id)).collect()
}

#[cfg(test)]
mod tests;
