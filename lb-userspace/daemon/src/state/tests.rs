use std::collections::HashSet;

use lb_common::{backend::Hop, snat::Source};
use lb_config::desired::Document;
use lb_model::{Admin, Health, Keys, Limits, Policy};
use serde_json::json;

use super::*;

/// Returns services with a VIP and a backend each, with these last bytes.
pub(crate) fn state_of(services: &[u8]) -> State {
    let spec = |last: &u8| {
        let keys = json!({
            "vip": format!("203.0.113.{last}:80"),
            "backend": [{ "address": format!("10.0.0.{last}:80") }],
        });
        let keys: &Keys = keys.as_object().expect("an object");
        lb_config::service(&format!("s{last}"), keys, &Policy::default()).expect("valid")
    };
    let document = Document::of(services.iter().map(spec));
    let mut state = State::new(&Adopted::default(), Memories::new(), &Limits::default());
    state.follow(&document.since(&Document::default())).expect("there is room");
    state
}

#[test]
fn a_hop_without_room_does_not_block_others() {
    let mut state = state_of(&[1, 2, 3]);
    let source = |port| Source { address: [0; 16], first_port: port, ports: 1 };
    let route =
        |sources| Route { hop: Ok(Hop::new([2; 6], [4; 6], 1)), sources, of_groups: Vec::new() };
    let too_many = (0..=u16::try_from(lb_common::limits::SNAT_SOURCES).expect("few")).map(source);
    state.resolve(vec![
        ([10, 0, 0, 1].into(), route(vec![source(1)])),
        ([10, 0, 0, 2].into(), route(too_many.collect())),
        ([10, 0, 0, 3].into(), route(vec![source(1)])),
    ]);
    let is_reached = |name| state.service(name).expect("there").backends[0].next_hop.is_ok();
    assert_eq!(["s1", "s2", "s3"].map(is_reached), [true, false, true]);
    let reason = state.service("s2").expect("there").backends[0].next_hop.clone();
    let reason = reason.expect_err("no room");
    assert!(reason.contains("no room for more source addresses"), "{reason}");
}

#[test]
fn backends_are_found_by_their_ids() {
    let state = state_of(&[1, 2, 3]);
    let id_of = |name| state.service(name).expect("there").backends[0].id;
    let ids = BTreeSet::from([id_of("s3"), id_of("s1"), u32::MAX]);
    let found = state.backends_of(&ids);
    let found: Vec<_> =
        found.map(|(service, backend)| (service.spec.name.as_str(), backend.id)).collect();
    assert_eq!(found, [("s1", id_of("s1")), ("s3", id_of("s3"))]);
    assert_eq!(state.backends_of(&BTreeSet::new()).count(), 0);
}

fn document(vips: &[(&str, &str)]) -> Document {
    Document::of(vips.iter().map(|(name, vip)| {
        let keys = Keys::from_iter([("vip".to_owned(), json!(vip))]);
        lb_config::service(name, &keys, &Policy::default()).expect("valid")
    }))
}

#[test]
fn services_pass_vips_on_to_each_other() {
    let [one, two, three] = ["203.0.113.1:80", "203.0.113.2:80", "203.0.113.3:80"];
    let before = document(&[("a", one), ("b", two)]);
    for vips in [
        [("a", two), ("b", one)],
        [("a", two), ("b", three)],
        [("a", three), ("b", one)],
        [("b", one), ("c", two)],
    ] {
        let mut state = State::new(&Adopted::default(), Memories::new(), &Limits::default());
        state.follow(&before.since(&Document::default())).expect("room");
        let after = document(&vips);
        state.follow(&after.since(&before)).expect("room");
        for (name, _) in vips {
            let service = state.service(name).expect("there");
            let wanted = state.wanted.get(&key(&service.spec));
            assert_eq!(wanted.map(|wanted| wanted.id), Some(service.id), "{name} of {vips:?}");
        }
        assert_eq!(state.wanted.len(), vips.len());
    }
}

/// Services by name, each with the last byte of its VIP and of its backend.
fn lone(services: &[(&str, u8, u8)]) -> Document {
    Document::of(services.iter().map(|(name, vip, backend)| {
        let keys = json!({
            "vip": format!("203.0.113.{vip}:80"),
            "backend": [{ "address": format!("10.0.0.{backend}:80") }],
        });
        let keys: &Keys = keys.as_object().expect("an object");
        lb_config::service(name, keys, &Policy::default()).expect("valid")
    }))
}

/// A state that has followed these documents, with room for so many services.
fn after(services: u32, documents: &[&[(&str, u8, u8)]]) -> State {
    let limits = Limits { services, ..Limits::default() };
    let mut state = State::new(&Adopted::default(), Memories::new(), &limits);
    let mut before = Document::default();
    for document in documents {
        let document = lone(document);
        state.follow(&document.since(&before)).expect("there is room");
        before = document;
    }
    state
}

/// The ids of a service and of its backend.
fn ids_of(state: &State, name: &str) -> (u32, u32) {
    let service = state.service(name).expect("there");
    (service.id, service.backends[0].id)
}

#[test]
fn connections_of_a_removed_service_do_not_become_those_of_an_unrelated_one() {
    let web = ids_of(&after(9, &[&[("web", 1, 2)]]), "web");
    let mut state = after(9, &[&[("web", 1, 2)], &[], &[("other", 9, 2)]]);
    let other = ids_of(&state, "other");
    assert!(web.0 != other.0 && web.1 != other.1, "{web:?} {other:?}");
    // Nor after a restart, when nobody knows whose it was.
    let backends = state.kernel.entries().clone();
    let adopted = Adopted { backends: backends.clone(), ..Adopted::default() };
    let mut restarted = State::new(&adopted, Memories::new(), &Limits::default());
    restarted.follow(&lone(&[("third", 8, 2)]).since(&Document::default())).expect("there is room");
    let (service, backend) = ids_of(&restarted, "third");
    assert!(service > web.0 && service > other.0 && !backends.contains_key(&backend));
    // The ids are free once no connection names the backend.
    let later = Instant::now() + std::time::Duration::from_mins(1);
    assert!(!state.release(&HashSet::from([web.1]), later));
    assert!(state.release(&HashSet::new(), later));
    let added = lone(&[("third", 8, 2)]).since(&Document::default());
    state.follow(&added).expect("there is room");
    assert_eq!(ids_of(&state, "third"), web);
}

#[test]
fn a_service_that_is_added_again_gets_its_connections_back() {
    let web = ids_of(&after(9, &[&[("web", 1, 2)]]), "web");
    for (again, name) in [([("web", 3, 2)], "web"), ([("shop", 1, 2)], "shop")] {
        let state = after(9, &[&[("web", 1, 2)], &[], &[("other", 9, 2)], &again]);
        let service = state.service(name).expect("there");
        let ids: Vec<u32> = state.ids_of(service, &service.backends[0]).collect();
        assert!(service.id == web.0 && ids.contains(&web.1), "{again:?}: {ids:?}");
        assert!(state.held_ids.len() < 2, "{again:?}");
    }
}

#[test]
fn ids_of_removed_services_take_no_room_from_others() {
    let [before, all] = [[("a", 1, 1), ("b", 2, 2)], [("c", 3, 1), ("d", 4, 2)]];
    let [a, b] = ["a", "b"].map(|name| ids_of(&after(2, &[&before]), name).1);
    let mut state = after(2, &[&before, &all]);
    let taken = ["c", "d"].map(|name| ids_of(&state, name).1);
    assert!(!taken.contains(&a) && !taken.contains(&b), "{taken:?}");
    let third = lone(&[("e", 5, 3)]).since(&Document::default());
    let error = state.clone().follow(&third).expect_err("no room");
    assert!(error.to_string().contains("limits.services"), "{error:#}");
    assert!(state.release(&HashSet::new(), Instant::now() + std::time::Duration::from_mins(1)));
    state.follow(&lone(&all[..1]).since(&lone(&all))).expect("d is removed");
    assert_eq!(state.held_ids.len(), 1);
    state.follow(&third).expect("there is room");
}

#[test]
fn enabling_an_unchecked_backend_leaves_the_others_while_checks_are_ignored() {
    let addresses = [1, 2, 3].map(|last| SocketAddr::from(([10, 0, 0, last], 80)));
    let backends = addresses.map(|address| json!({ "address": address }));
    let keys = json!({ "vip": "203.0.113.1:80", "fail_open": "30%", "backend": backends });
    let keys: &Keys = keys.as_object().expect("an object");
    let mut spec = lb_config::service("web", keys, &Policy::default()).expect("valid");
    spec.backends[2].admin = Admin::Disabled;
    let before = Document::of([spec.clone()]);
    spec.backends[2].admin = Admin::Enabled;
    let after = Document::of([spec]);
    let mut state = State::new(&Adopted::default(), Memories::new(), &Limits::default());
    state.follow(&before.since(&Document::default())).expect("there is room");
    let source = Source { address: [0; 16], first_port: 1, ports: 1 };
    let route = Route {
        hop: Ok(Hop::new([2; 6], [4; 6], 1)),
        sources: vec![source],
        of_groups: Vec::new(),
    };
    state.resolve(addresses.map(|address| (address.ip(), route.clone())).to_vec());
    for address in &addresses[..2] {
        state.change_backend("web", *address, |one| one.health = Health::Down);
    }
    let in_use = |state: &State| state.service("web").expect("there").in_use();
    assert_eq!(in_use(&state), 2, "checks are ignored");
    state.follow(&after.since(&before)).expect("there is room");
    assert_eq!(in_use(&state), 2, "the third has not been checked");
    state.change_backend("web", addresses[2], |one| one.health = Health::Up);
    assert_eq!(in_use(&state), 1);
}
