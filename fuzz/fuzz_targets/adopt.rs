//! Maps that hold anything, adopted: where rings lie, and what is to be written so that they become
//! what is wanted.

#![no_main]

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    time::Instant,
};

use imbl::OrdMap;
use lb_common::{backend::Backend, limits, ring::Ring, schedule::Scheduler, service::ServiceKey};
use lb_userspace::{
    arena::Arena,
    plan::{Goal, Image, Op, ServiceImage, Wanted, plan},
};
use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};

#[derive(Arbitrary, Debug)]
struct Found {
    services: Vec<FoundService>,
    wanted: Vec<WantedService>,
}

/// What a map held.
#[derive(Arbitrary, Debug)]
struct FoundService {
    key: u8,
    offset: u32,
    length: u32,
    id: u32,
    scheduler: u32,
    slots: Vec<u32>,
}

#[derive(Arbitrary, Debug)]
struct WantedService {
    key: u8,
    id: u32,
    scheduler: u32,
    slots: Vec<u8>,
}

fn key(number: u8) -> ServiceKey {
    ServiceKey::tcp([number; 16], [0, 80])
}

fn image(found: &[FoundService]) -> Image {
    let services = found.iter().map(|one| {
        let ring = Ring { offset: one.offset, length: one.length };
        let scheduler = Scheduler::from_number(one.scheduler);
        let wanted = Wanted { id: one.id, scheduler, slots: one.slots.as_slice().into() };
        (key(one.key), ServiceImage { ring, wanted })
    });
    Image { services: services.collect(), ..Image::default() }
}

fn goal(wanted: &[WantedService]) -> Goal {
    let services = wanted.iter().map(|one| {
        let slots: Vec<_> = one.slots.iter().map(|slot| u32::from(*slot) + 1).collect();
        let scheduler = Scheduler::from_number(one.scheduler);
        (key(one.key), Wanted { id: one.id, scheduler, slots: slots.into() })
    });
    let backend = Backend { weight: 1, ..Backend::default() };
    let backends: OrdMap<_, _> = (1..=256_u32).map(|id| (id, backend)).collect();
    Goal { services: services.collect(), backends, ..Goal::default() }
}

/// Places of the arena, if they are.
fn places(ring: Ring) -> Option<Range<u32>> {
    let end = ring.offset.checked_add(ring.length)?;
    (end <= limits::RING_SLOTS).then_some(ring.offset..end)
}

/// Whether rings lie in the arena, and none in another's.
fn is_sound(rings: impl Iterator<Item = Ring>) -> bool {
    let mut taken = BTreeMap::new();
    for ring in rings.filter(|ring| ring.length > 0) {
        let Some(places) = places(ring) else { return false };
        if taken.insert(places.start, places.end).is_some() {
            return false;
        }
    }
    taken.values().zip(taken.keys().skip(1)).all(|(end, start)| end <= start)
}

/// The maps, as operations change them.
#[derive(Default)]
struct Maps {
    slots: HashMap<u32, u32>,
    services: HashMap<ServiceKey, (Ring, u32)>,
}

impl Maps {
    fn of(image: &Image) -> Self {
        let mut maps = Self::default();
        for (key, service) in &image.services {
            maps.services.insert(*key, (service.ring, service.wanted.id));
            maps.write(service.ring.offset, &service.wanted.slots);
        }
        maps
    }

    fn write(&mut self, offset: u32, slots: &[u32]) {
        self.slots.extend(
            (u64::from(offset)..)
                .zip(slots)
                .filter_map(|(place, slot)| Some((u32::try_from(place).ok()?, *slot))),
        );
    }

    fn carry_out(&mut self, op: &Op) {
        match op {
            Op::WriteSlots { offset, slots } => self.write(*offset, slots),
            Op::SetService { key, service } => {
                self.services.insert(*key, (service.ring, service.id));
            }
            Op::RemoveService { key } => drop(self.services.remove(key)),
            _ => {}
        }
    }

    fn hold(&self, image: &Image) -> bool {
        image.services.iter().all(|(key, service)| {
            let ring = service.ring;
            let places = u64::from(ring.offset)..;
            let slots = places.zip(service.wanted.slots.iter());
            self.services.get(key) == Some(&(ring, service.wanted.id))
                && slots.into_iter().all(|(place, slot)| {
                    u32::try_from(place).ok().and_then(|place| self.slots.get(&place)) == Some(slot)
                })
        })
    }
}

fuzz_target!(|found: Found| {
    let image = image(&found.services);
    let goal = goal(&found.wanted);
    let is_adoptable = is_sound(image.services.values().map(|service| service.ring))
        && image.services.values().all(|one| one.wanted.slots.len() == one.ring.length as usize);
    let mut arena = Arena::of(&image);
    let Ok((ops, new)) = plan(&image, &goal, &mut arena, Instant::now()) else { return };
    if !is_adoptable {
        return;
    }
    assert!(is_sound(new.services.values().map(|service| service.ring)), "rings overlap");
    assert!(new.services.keys().eq(goal.services.keys()));
    let mut maps = Maps::of(&image);
    for op in &ops {
        maps.carry_out(op);
    }
    assert!(maps.hold(&new), "the maps are not what is wanted");
    assert_eq!(maps.services.len(), new.services.len());
});
