use std::time::Duration;

use jiff::Timestamp;
use lb_common::{backend::Hop, snat::Source, stats::Traffic};
use lb_model::Health;

use super::{
    super::{Route, prefixes::*},
    *,
};
use crate::{clock::Span, service::Deadline};

const FIRST: ([u8; 4], u16) = ([10, 0, 0, 1], 80);

/// Changes the VIP of the first service.
fn move_to(world: &mut World, vip: u8) {
    world.live(&Event::Document(vec![draft(1, vip, &[1]), draft(2, 2, &[2])]));
}

fn first(state: &State) -> Backend {
    state.service("s1").expect("there").backends[0].clone()
}

/// Returns all ids of the first service's backend, the present one first.
fn ids(state: &State) -> Vec<u32> {
    let service = state.service("s1").expect("there");
    state.ids_of(service, &service.backends[0]).collect()
}

fn counted(connections: u64) -> Traffic {
    Traffic { connections, ..Traffic::default() }
}

fn connections(world: &World) -> u64 {
    let traffic = world.writer.traffic(ids(&world.state)).expect("read");
    traffic.values().map(|one| one.connections).sum()
}

#[test]
fn a_backend_at_another_vip_has_another_id_and_all_that_was_known_of_it() {
    let mut world = two();
    let until = Timestamp::now();
    world.state.change_backend("s1", FIRST.into(), |backend| {
        backend.warming = Some(Span::begin());
        backend.drain = Some(Deadline { until, ends: Instant::now() + Duration::from_hours(1) });
    });
    let (before, other) = (first(&world.state), world.state.service("s2").cloned());
    let former = world.state.clone();
    move_to(&mut world, 3);
    let after = first(&world.state);
    assert_ne!(after.id, before.id);
    assert_eq!(Backend { id: before.id, ..after.clone() }, before);
    assert_eq!(ids(&world.state), [after.id, before.id]);
    assert_eq!(world.state.renewed_since(&former), [(before.id, after.id)]);
    assert_eq!(world.state.service("s2").cloned(), other);
    let maps = world.memory.stored();
    let [old, new] = [before.id, after.id].map(|id| maps.backends[&id]);
    assert!(old.left != 0 && new.left == 0);
    let same = lb_common::backend::Backend { vip: old.vip, left: old.left, ..new };
    assert_eq!(same, old);
    assert_eq!([old, new].map(|one| one.vip[15]), [1, 3]);
}

#[test]
fn a_service_that_gets_its_former_vip_back_gets_its_ids_back() {
    let mut world = two();
    let old = ids(&world.state)[0];
    move_to(&mut world, 3);
    let new = ids(&world.state)[0];
    move_to(&mut world, 1);
    assert_eq!(ids(&world.state), [old, new]);
    move_to(&mut world, 4);
    let third = ids(&world.state)[0];
    assert!(![old, new].contains(&third));
    move_to(&mut world, 3);
    assert_eq!(ids(&world.state)[0], new);
    assert_eq!(ids(&world.state).len(), 3);
}

#[test]
fn counters_are_passed_on_when_an_id_is_released() {
    let mut world = two();
    let old = ids(&world.state)[0];
    world.memory.stored().traffic.insert(old, counted(7));
    move_to(&mut world, 3);
    let new = ids(&world.state)[0];
    world.memory.stored().traffic.insert(new, counted(2));
    assert_eq!(connections(&world), 9);
    world.live(&Event::Forgotten);
    assert_eq!((ids(&world.state), connections(&world)), (vec![new], 9));
    assert!(!world.memory.stored().backends.contains_key(&old));
    world.memory.stored().traffic.insert(new, counted(3));
    move_to(&mut world, 1);
    world.live(&Event::Forgotten);
    assert_eq!((ids(&world.state).len(), connections(&world)), (1, 10));
    // A backend that is gone passes nothing on to a later one of the same id.
    world.live(&Event::Document(vec![draft(2, 2, &[2])]));
    world.live(&Event::Forgotten);
    world.live(&Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[2])]));
    assert_eq!(connections(&world), 0);
}

#[test]
fn connections_to_the_former_vip_follow_their_backend() {
    let mut world = two();
    move_to(&mut world, 3);
    let both = ids(&world.state);
    let mut state = world.state.clone();
    let hop = Hop::new([2, 9, 9, 9, 9, 9], [4; 6], 2);
    let source = Source { address: [1; 16], first_port: 2_048, ports: 100 };
    let route = Route { hop: Ok(hop), sources: vec![source], of_groups: Vec::new() };
    state.resolve(vec![(FIRST.0.into(), route)]);
    let entries = both.iter().map(|id| state.kernel.entries()[id]);
    assert!(entries.clone().all(|entry| entry.hop == hop), "{entries:?}");
    let now = Instant::now();
    let kept = |state: &State| {
        let expiry = state.expiry(now);
        both.iter().filter(|id| expiry.contains_key(*id)).count()
    };
    assert_eq!(kept(&state), 2);
    state.change_backend("s1", FIRST.into(), |backend| {
        backend.drain = Some(Deadline { until: Timestamp::now(), ends: now });
    });
    assert_eq!(kept(&state), 0, "the drain ends both");
}

#[test]
fn a_backend_that_stays_for_a_while_moves_along() {
    let mut world = two();
    let old = ids(&world.state)[0];
    world.live(&Event::Document(vec![draft(1, 3, &[3]), draft(2, 2, &[2])]));
    let service = world.state.service("s1").expect("there");
    assert_eq!(
        service.shares.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [service.leaving[0].id]
    );
    assert_ne!(service.leaving[0].id, old);
}

#[test]
fn connections_to_a_vip_that_was_taken_back_go_on() {
    let mut world = two();
    let (former, before) = (world.state.clone(), world.document.clone());
    move_to(&mut world, 3);
    let committed = world.state.clone();
    let both = ids(&world.state);
    world.live(&Event::Server(1, false));
    world.live(&Event::Checked);
    let undone = world.state.without(&world.document.since(&before), former, &committed);
    assert_eq!(ids(&undone), [both[1], both[0]]);
    assert_eq!(first(&undone).health, Health::Down);
    world.sync.follow(&mut world.writer, &world.state.goal(), &undone.goal());
    (world.state, world.document) = (undone, before);
    world.compare();
}
