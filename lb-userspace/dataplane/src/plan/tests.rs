//! Plans of single changes and of changes in a row.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::arena::NoRoom;

const KEY: ServiceKey = ServiceKey::tcp([0; 16], [0, 80]);

/// Plans for one service with these slots, and returns the offset of its ring.
fn follow(image: &mut Image, arena: &mut Arena, slots: &[u32]) -> Result<u32> {
    let wanted = Wanted {
        id: 0,
        scheduler: Scheduler::Maglev,
        members: 1,
        retries: false,
        group: 0,
        slots: slots.into(),
        room: 0,
    };
    let services = [(KEY, wanted.clone())].into_iter().collect();
    let goal = Goal { services, ..Goal::default() };
    let Plan { mut ops, image: next, .. } =
        plan(image, &goal, &Goal::default(), arena, Instant::now())?;
    ops.retain(|op| !matches!(op, Op::ClearKept { .. }));
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
    assert_eq!(follow(&mut image, &mut arena, &[1]).unwrap(), 0, "shorter ones fit");
    assert!(follow(&mut image, &mut arena, &[1; 8]).is_err(), "longer than the arena");
}

fn key(port: u16) -> ServiceKey {
    ServiceKey::tcp([0; 16], port.to_be_bytes())
}

/// Returns a goal of services, each with an id, a VIP, a number of slots, and room.
fn goal(services: &[(u32, u16, u32, u32)]) -> Goal {
    let wanted = |&(id, port, length, room): &(u32, u16, u32, u32)| {
        let slots = (0..length).map(|slot| 10 * id + slot).collect();
        let scheduler = Scheduler::RoundRobin;
        (key(port), Wanted { id, scheduler, members: 1, retries: false, group: 0, slots, room })
    };
    Goal { services: services.iter().map(wanted).collect(), ..Goal::default() }
}

/// Fails unless the maps have each service's ring, and those of different services are apart.
fn assert_sound(maps: &HashMap<u32, u32>, goal: &Goal, image: &Image) {
    assert!(image.services.keys().eq(goal.services.keys()));
    let mut regions: Vec<Ring> = image.rings().filter(|region| region.length > 0).collect();
    regions.sort_by_key(|region| region.offset);
    assert!(regions.windows(2).all(|two| two[0].offset + two[0].length <= two[1].offset));
    for (key, one) in &image.services {
        let ring = one.ring.offset..one.ring.offset + one.ring.length;
        let slots: Vec<u32> = ring.map(|slot| maps[&slot]).collect();
        assert_eq!(slots[..], goal.services[key].slots[..]);
        assert!(one.ring.length <= one.region.length && one.ring.offset == one.region.offset);
    }
}

/// Carries out a plan, and fails if a slot of a ring is another service's at any time.
fn carry_out(maps: &mut HashMap<u32, u32>, before: &Image, Plan { ops, image, .. }: &Plan) {
    let mut rings: HashMap<ServiceKey, (u32, Ring)> =
        before.services.iter().map(|(key, one)| (*key, (one.wanted.id, one.ring))).collect();
    for op in ops {
        match op {
            Op::WriteSlots { offset, slots } => {
                maps.extend((*offset..).zip(slots.iter().copied()));
            }
            Op::SetService { key, service } => {
                rings.insert(*key, (service.id, service.ring));
            }
            Op::RemoveService { key } => {
                rings.remove(key);
            }
            _ => {}
        }
        for (id, ring) in rings.values() {
            let mut slots = ring.offset..ring.offset + ring.length;
            assert!(slots.all(|slot| maps[&slot] / 10 == *id), "{ops:?} to {image:?}");
        }
    }
}

#[test]
fn a_ring_in_a_full_arena_gets_shorter_and_longer_within_its_room() {
    let (now, mut arena) = (Instant::now(), Arena::new(10));
    let (mut image, mut before) = (Image::default(), Goal::default());
    let mut maps = HashMap::new();
    for length in [0, 4, 3, 1, 4, 0, 2, 4] {
        let next = goal(&[(1, 1, 6, 6), (2, 2, length, 4)]);
        let plan = plan(&image, &next, &before, &mut arena, now).expect("its room is reserved");
        carry_out(&mut maps, &image, &plan);
        assert_sound(&maps, &next, &plan.image);
        (image, before) = (plan.image, next);
    }
}

#[test]
fn a_ring_in_a_full_arena_follows_its_service_to_another_vip() {
    let (now, mut arena) = (Instant::now(), Arena::new(10));
    let first = goal(&[(1, 1, 6, 6), (2, 2, 4, 4)]);
    let image = plan(&Image::default(), &first, &first, &mut arena, now).expect("room").image;
    let second = goal(&[(1, 1, 6, 6), (2, 3, 3, 4)]);
    let image = plan(&image, &second, &first, &mut arena, now).expect("room").image;
    assert_eq!(image.services[&key(3)].region, Ring { offset: 6, length: 4 });
    let third = goal(&[(1, 1, 6, 6), (2, 3, 4, 4)]);
    plan(&image, &third, &second, &mut arena, now).expect("its region is still its own");
}

#[test]
fn a_ring_without_room_beside_it_overlaps_its_old_place() {
    let (now, mut arena) = (Instant::now(), Arena::new(10));
    arena.claim(Ring { offset: 9, length: 1 });
    let first = goal(&[(1, 1, 3, 3), (2, 2, 4, 4)]);
    let image = plan(&Image::default(), &first, &first, &mut arena, now).expect("room").image;
    let alone = goal(&[(2, 2, 4, 4)]);
    let image = plan(&image, &alone, &first, &mut arena, now).expect("room").image;
    let longer = goal(&[(2, 2, 8, 8)]);
    let error = plan(&image, &longer, &alone, &mut arena, now).expect_err("the other one rests");
    let is_temporary = |error: &anyhow::Error| {
        error.downcast_ref::<NoRoom>().is_some_and(|no_room| no_room.is_temporary)
    };
    let later = now + crate::arena::GRACE;
    let planned = plan(&image, &longer, &alone, &mut arena, later).expect("room");
    assert_eq!(planned.image.services[&key(2)].region, Ring { offset: 0, length: 8 });
    assert!(is_temporary(&error), "{error}");
}

proptest! {
    #[test]
    fn rings_of_reserved_regions_always_have_room(
        lengths in prop::collection::vec([0u32..=9, 0u32..=9, 0u32..=9], 1..20),
        moves in prop::collection::vec(0u16..2, 20),
        is_read_back in prop::collection::vec(any::<bool>(), 20),
    ) {
        let mut arena = Arena::new(27);
        let (mut image, mut before) = (Image::default(), Goal::default());
        let (mut maps, mut now) = (HashMap::new(), Instant::now());
        for ((lengths, vip), is_read_back) in lengths.iter().zip(moves).zip(is_read_back) {
            let [one, two, three] = *lengths;
            let next = goal(&[(1, 1, one, 9), (2, 2 + vip, two, 9), (3, 9, three, 9)]);
            let plan = plan(&image, &next, &before, &mut arena, now).expect("room");
            carry_out(&mut maps, &image, &plan);
            assert_sound(&maps, &next, &plan.image);
            (image, before) = (plan.image, next);
            if is_read_back {
                let found = |one: &ServiceImage| {
                    let wanted = Wanted { room: one.ring.length, ..one.wanted.clone() };
                    ServiceImage { region: one.ring, ring: one.ring, wanted }
                };
                let services = image.services.iter().map(|(key, one)| (*key, found(one)));
                image = Image { services: services.collect(), ..Image::default() };
                arena.follow(image.rings(), now);
                now += crate::arena::GRACE;
            }
        }
    }
}

#[test]
fn counters_of_a_removed_id_are_passed_to_the_one_in_a_ring_or_kept() {
    let backend = |service, left| Backend { service, left, weight: 1, ..Backend::default() };
    let image = |backends: &[(u32, Backend)]| Image {
        backends: backends.iter().copied().collect(),
        ..Image::default()
    };
    let (other, away, present) = ((1, backend(1, 0)), (2, backend(0, 5)), (3, backend(0, 0)));
    let gone = (4, backend(0, 3));
    for (stay, expected) in [
        (&[other, away, present][..], vec![Op::PassTraffic { from: 4, to: 3 }]),
        (&[other, away], vec![Op::PassTraffic { from: 4, to: 2 }]),
        (&[other], vec![Op::KeepTraffic { from: 4, service: 0 }]),
    ] {
        let current = image(&[stay, &[gone]].concat());
        let goal = Goal { backends: image(stay).backends, ..Goal::default() };
        let (mut arena, now) = (Arena::new(1), Instant::now());
        let planned = plan(&current, &goal, &goal, &mut arena, now).expect("room");
        assert_eq!(planned.ops, [expected, vec![Op::ClearBackend { id: 4 }]].concat());
    }
}

#[test]
fn a_new_service_has_kept_nothing_of_one_that_had_its_id() {
    let (now, mut arena) = (Instant::now(), Arena::new(4));
    let wanted = Wanted {
        id: 5,
        scheduler: Scheduler::Maglev,
        members: 0,
        retries: false,
        group: 0,
        slots: [].into(),
        room: 0,
    };
    let key = |port: u16| ServiceKey::tcp([0; 16], port.to_be_bytes());
    let goal = |port| Goal {
        services: [(key(port), wanted.clone())].into_iter().collect(),
        ..Goal::default()
    };
    let is_cleared = |plan: &Plan| plan.ops.contains(&Op::ClearKept { service: 5 });
    let first = plan(&Image::default(), &goal(1), &Goal::default(), &mut arena, now);
    let first = first.expect("room");
    assert!(is_cleared(&first));
    let moved = plan(&first.image, &goal(2), &goal(1), &mut arena, now).expect("room");
    assert!(!is_cleared(&moved), "the same service, at another VIP");
    let left = Backend { service: 5, left: 1, ..Backend::default() };
    let image = Image { backends: [(1_u32, left)].into_iter().collect(), ..Image::default() };
    let back = plan(&image, &goal(1), &Goal::default(), &mut arena, now).expect("room");
    assert!(!is_cleared(&back), "it has taken its backends back");
}

#[test]
fn a_service_without_room_holds_up_no_other() {
    let (now, mut arena) = (Instant::now(), Arena::new(4));
    let wanted = |id, length: u32| Wanted {
        id,
        scheduler: Scheduler::Maglev,
        members: 1,
        retries: false,
        group: 0,
        slots: (1..=length).collect(),
        room: 0,
    };
    let key = |port: u16| ServiceKey::tcp([0; 16], port.to_be_bytes());
    let goal = |first, second| Goal {
        services: [(key(1), wanted(0, first)), (key(2), wanted(1, second))].into_iter().collect(),
        ..Goal::default()
    };
    let empty = (Image::default(), Goal::default());
    let image = plan(&empty.0, &goal(1, 1), &empty.1, &mut arena, now).expect("room").image;
    for _ in 0..3 {
        plan(&image, &goal(3, 2), &goal(1, 2), &mut arena, now).expect_err("no room for it");
    }
    let planned = plan(&image, &goal(3, 2), &goal(3, 1), &mut arena, now);
    let Plan { ops, image: next, missing } = planned.expect("the other one is changed");
    assert!(missing.is_some(), "{ops:?}");
    assert_eq!(next.services[&key(1)], image.services[&key(1)]);
    assert_eq!(next.services[&key(2)].wanted, wanted(1, 2));
}
