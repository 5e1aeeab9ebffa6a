use serde_json::json;

use super::*;
use crate::{config, control::Keys, desired::Document, model::Policy};

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
