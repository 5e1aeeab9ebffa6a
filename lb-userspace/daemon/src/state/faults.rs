//! After any failed write, the maps are unchanged or updated later, and services continue in the
//! meantime.

use std::{collections::HashSet, ops::Range};

use lb_common::stats::Traffic;
use lb_dataplane::{MapWriter, maps::memory::Memory};
use lb_model::Health;

use super::{prefixes::*, *};
use crate::sync::MapSync;

/// Returns changes of documents, each starting with two services that take connections.
fn changes() -> Vec<(&'static str, Vec<Draft>)> {
    let [one, two] = [draft(1, 1, &[1]), draft(2, 2, &[2])];
    let heavy = Draft { backends: [(1, 3), (3, 2)].into(), ..one.clone() };
    let other_check = Draft { check: 1, ..one.clone() };
    let at_random = Draft { scheduler: true, ..one.clone() };
    vec![
        ("nothing is left", vec![]),
        ("a service is added", vec![one.clone(), two.clone(), draft(3, 3, &[3])]),
        ("a service is removed", vec![one.clone()]),
        ("a service is renamed", vec![draft(7, 1, &[1]), two.clone()]),
        ("services exchange their backends", vec![draft(1, 1, &[2]), draft(2, 2, &[1])]),
        ("services exchange their VIPs", vec![draft(1, 2, &[1]), draft(2, 1, &[2])]),
        ("a service has another VIP", vec![draft(1, 3, &[1]), two.clone()]),
        ("a backend is added", vec![heavy, two.clone()]),
        ("a backend is replaced", vec![draft(1, 1, &[3]), two.clone()]),
        ("a backend is removed", vec![draft(1, 1, &[]), two.clone()]),
        ("a check is another one", vec![other_check, two.clone()]),
        ("a scheduler is another one", vec![at_random, two.clone()]),
        ("all is another", vec![draft(3, 3, &[3, 4]), draft(4, 4, &[5])]),
    ]
}

/// Returns worlds of two services on the way to one of these documents, each with its next event.
fn worlds(drafts: &[Draft]) -> Vec<(World, Event)> {
    let change = Event::Document(drafts.to_vec());
    let back = Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[2])]);
    let lived = |events: &[&Event]| {
        let mut world = two();
        for event in events {
            world.live(event);
        }
        world.count_traffic();
        world
    };
    let (resolved, checked) = (Event::Resolved, Event::Checked);
    vec![
        (lived(&[]), change.clone()),
        (lived(&[&change]), resolved.clone()),
        (lived(&[&change, &resolved]), checked.clone()),
        (lived(&[&change, &resolved, &checked]), Event::Forgotten),
        // Rolled back.
        (lived(&[&change, &resolved, &checked]), back.clone()),
        (lived(&[&change, &resolved, &checked, &Event::Forgotten]), back),
    ]
}

/// Returns the calls that fail: one, one and another during the restoration, or all from one on.
fn failing(nth: usize) -> Vec<Vec<Range<usize>>> {
    let twice = |after: usize| {
        let second = nth + 1 + after;
        vec![nth..nth + 1, second..second + 1]
    };
    let mut all = vec![vec![nth..nth + 1], vec![nth..usize::MAX]];
    all.extend([0, 1, 4, 9, 17].map(twice));
    all
}

impl World {
    /// Sets the counters of every backend.
    fn count_traffic(&self) {
        let mut maps = self.memory.stored();
        let ids: Vec<u32> = maps.backends.keys().copied().collect();
        let counted = Traffic { connections: 1, ..Traffic::default() };
        maps.traffic = ids.iter().map(|id| (*id, counted)).collect();
        maps.refusals = ids.iter().map(|id| (*id, 1)).collect();
    }

    /// Returns a deep copy.
    fn copy(&self) -> Self {
        let memory = Memory::default();
        memory.stored().clone_from(&self.memory.stored());
        memory.fail(&[]);
        let mut writer = MapWriter::new(memory.maps(64));
        writer.set_own_macs(&BTreeSet::from([OWN_MAC])).expect("written");
        // Reading the maps back writes them again.
        memory.stored().own_macs.clear();
        let adopted = writer.adopt(&Limits::default()).expect("read");
        let sync = MapSync::new(&adopted, Limits::default());
        let (state, document) = (self.state.clone(), self.document.clone());
        let down = self.down.clone();
        Self { state, document, sync, writer, memory, down, seen: Arc::default() }
    }

    /// Runs the upkeep, once writes succeed again.
    fn catch_up(&mut self) {
        self.memory.fail(&[]);
        assert!(self.sync.is_behind());
        let goal = self.state.goal();
        self.sync.follow(&mut self.writer, &goal, &goal);
        assert!(!self.sync.is_behind());
    }
}

/// Runs a step with each of its calls failing in turn. Returns the number of failures.
fn at_every_call(world: &World, mut step: impl FnMut(&mut World) -> bool) -> usize {
    let mut failed = 0;
    for nth in 0.. {
        let before = failed;
        for calls in failing(nth) {
            let mut world = world.copy();
            world.memory.fail(&calls);
            failed += usize::from(step(&mut world));
        }
        if failed == before {
            return failed;
        }
    }
    unreachable!("calls end")
}

/// Like [`at_every_call`], for all changes.
fn in_every_change(mut step: impl FnMut(&mut World, State) -> bool) -> usize {
    let mut failed = 0;
    for (_, drafts) in changes() {
        for (mut world, event) in worlds(&drafts) {
            let next = world.after(&event);
            failed += at_every_call(&world, |world| {
                world.watch(&next);
                step(world, next.clone())
            });
        }
    }
    failed
}

#[test]
fn a_change_that_fails_at_any_write_is_undone_at_once_or_later() {
    let failed = in_every_change(|world, next| {
        let (present, goal) = (world.state.goal(), next.goal());
        let written = world.sync.commit(&mut world.writer, &present, &goal);
        if written.is_ok() {
            world.state = next;
        }
        if world.sync.is_behind() {
            world.catch_up();
        }
        world.compare();
        written.is_err()
    });
    assert!(failed > 1_000, "{failed}");
}

/// Fails unless the maps follow a state, if not at once then later. Returns true if not at once.
fn follows_in_the_end(world: &mut World, next: State) -> bool {
    world.sync.follow(&mut world.writer, &world.state.goal(), &next.goal());
    world.state = next;
    let is_behind = world.sync.is_behind();
    if is_behind {
        world.catch_up();
    }
    world.compare();
    is_behind
}

#[test]
fn events_that_cannot_be_written_are_written_later() {
    let failed = in_every_change(follows_in_the_end);
    assert!(failed > 1_000, "{failed}");
}

/// Event while a change is written to the journal.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nothing,
    /// The server of the first service fails.
    Outage,
    /// A backend is resolved and up, so that those that it replaces are released.
    Found,
}

/// Returns a world with a change that the journal has failed to store, and the state to restore.
fn unrecorded(before: &World, drafts: &[Draft], meanwhile: Meanwhile) -> (World, State) {
    let mut world = before.copy();
    let document = document(drafts);
    let difference = document.since(&world.document);
    let former = world.state.clone();
    world.live(&Event::Document(drafts.to_vec()));
    let committed = world.state.clone();
    match meanwhile {
        Meanwhile::Nothing => {}
        Meanwhile::Outage => {
            world.live(&Event::Server(1, false));
            world.live(&Event::Checked);
        }
        Meanwhile::Found => {
            world.live(&Event::Resolved);
            world.live(&Event::Checked);
        }
    }
    let undone = world.state.without(&difference, former, &committed);
    world.document = before.document.clone();
    (world, undone)
}

/// Returns a world of three services, of which the last has replaced its backend by an unresolved
/// one.
fn replacing() -> World {
    let mut world = two();
    world.live(&Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[2]), draft(3, 3, &[3])]));
    world.live(&Event::Resolved);
    world.live(&Event::Checked);
    world.live(&Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[2]), draft(3, 3, &[4])]));
    world
}

#[test]
fn a_change_that_the_journal_rejects_is_undone_whichever_write_fails() {
    let mut failed = 0;
    for (_, mut drafts) in changes() {
        if !drafts.iter().any(|one| one.name == 3 || one.vip == 3) {
            drafts.push(draft(3, 3, &[4]));
        }
        for meanwhile in [Meanwhile::Nothing, Meanwhile::Outage, Meanwhile::Found] {
            // Its replaced backend stays only for some seconds.
            let (world, undone) = unrecorded(&replacing(), &drafts, meanwhile);
            failed += at_every_call(&world, |world| {
                world.watch(&undone);
                follows_in_the_end(world, undone.clone())
            });
        }
    }
    assert!(failed > 1_000, "{failed}");
}

#[test]
fn an_outage_is_known_after_a_change_that_the_journal_rejects() {
    let before = two();
    let random = Draft { scheduler: true, ..draft(1, 1, &[1]) };
    for changed in [random, draft(7, 1, &[1]), draft(1, 1, &[1, 3]), draft(1, 3, &[1])] {
        let drafts = [changed, draft(2, 2, &[2])];
        let (_, undone) = unrecorded(&before, &drafts, Meanwhile::Outage);
        let service = undone.service("s1").expect("there");
        assert_eq!(service.backends[0].health, Health::Down, "{drafts:?}: no check tells it again");
        assert!(undone.wanted[&key(&service.spec)].slots.is_empty());
    }
}

#[test]
fn backends_that_have_left_are_released_after_a_change_that_the_journal_rejects() {
    let mut before = two();
    before.live(&Event::Document(vec![draft(1, 1, &[1]), draft(2, 2, &[4])]));
    let backends = before.state.kernel.entries().len();
    let (_, mut undone) =
        unrecorded(&before, &[draft(1, 1, &[]), draft(2, 2, &[4])], Meanwhile::Found);
    assert!(undone.service("s2").expect("there").leaving.is_empty());
    let later = Instant::now() + std::time::Duration::from_mins(1);
    assert!(undone.release(&HashSet::new(), later));
    assert_eq!(undone.kernel.entries().len(), backends - 1);
}

#[test]
fn ids_of_a_change_that_the_journal_rejects_are_not_given_to_others_at_once() {
    let before = two();
    let added = [draft(1, 1, &[1, 3]), draft(2, 2, &[2]), draft(3, 3, &[4])];
    let (world, mut undone) = unrecorded(&before, &added, Meanwhile::Found);
    let ids = |state: &State| state.kernel.entries().keys().copied().collect::<BTreeSet<u32>>();
    let tried = ids(&world.state);
    assert_eq!(ids(&undone), tried, "connections may refer to any of them");
    let other = [draft(1, 1, &[1]), draft(2, 2, &[2]), draft(4, 4, &[5])];
    let difference = document(&other).since(&before.document);
    undone.follow(&difference).expect("there is room");
    let services: BTreeSet<u32> = undone.services().map(|service| service.id).collect();
    let third = world.state.service("s3").expect("it was tried");
    assert!(!services.contains(&third.id), "{services:?}");
    assert!(undone.backends().all(|backend| backend.id != third.backends[0].id));
    let later = Instant::now() + std::time::Duration::from_mins(1);
    assert!(undone.release(&HashSet::new(), later));
    assert!(undone.held_ids.is_empty());
    assert_eq!(undone.kernel.entries().len(), undone.backends().count());
}
