use serde_json::json;

use super::*;
use crate::{
    config::{self, Limits},
    control::Keys,
    desired::Document,
    model::Policy,
};

/// Returns services with a VIP and a backend each, with these last bytes.
pub(in crate::daemon) fn state_of(services: &[u8]) -> State {
    let spec = |last: &u8| {
        let keys = json!({
            "vip": format!("203.0.113.{last}:80"),
            "backend": [{ "address": format!("10.0.0.{last}:80") }],
        });
        let keys: &Keys = keys.as_object().expect("an object");
        config::service(&format!("s{last}"), keys, &Policy::default()).expect("valid")
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
    let route = |sources| Route { hop: Ok(Hop::new([2; 6], [4; 6], 1)), sources };
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
        config::service(name, &keys, &Policy::default()).expect("valid")
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
