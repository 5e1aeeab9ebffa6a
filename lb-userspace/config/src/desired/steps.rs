//! Human-readable differences of documents.

use std::collections::HashMap;

use lb_model::{
    Backend, Service,
    secrets::shown_of,
    views::{Kind, Step},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Document;

/// Returns the steps from one document to another: removed services first, then those that are
/// changed or added.
#[must_use]
pub fn steps(from: &Document, to: &Document) -> Vec<Step> {
    let difference = to.since(from);
    let mut steps = Vec::new();
    for name in &difference.removed {
        if let Some(service) = from.service(name) {
            steps.push(Step::removal(name, service.vip.address));
        }
    }
    for service in &difference.set {
        match from.service(&service.name) {
            None => add(service, &mut steps),
            Some(former) => change(former, service, &mut steps),
        }
    }
    steps
}

fn add(service: &Service, steps: &mut Vec<Step>) {
    steps.push(Step::of(Kind::Add, &service.name).to(service.vip.to_string()));
    let added = service.backends.iter().map(|backend| added(service, backend));
    steps.extend(added);
}

fn added(service: &Service, backend: &Backend) -> Step {
    Step::of(Kind::Add, &service.name).at(backend.address).to(without(backend, &["address"]))
}

fn change(from: &Service, to: &Service, steps: &mut Vec<Step>) {
    let name = &to.name;
    let of_it = |step: Step| Step { service: Some(name.clone()), ..step };
    if from.vip != to.vip {
        let vip = Step { key: Some("vip".into()), ..Step::of(Kind::Change, name) };
        steps.push(vip.from(from.vip.to_string()).to(to.vip.to_string()));
    }
    let settings = |service| without(service, &["name", "vip", "backends"]);
    steps.extend(changes(&settings(from), &settings(to)).into_iter().map(of_it));
    let former: HashMap<_, _> = from.backends.iter().map(|one| (one.address, one)).collect();
    let kept: HashMap<_, _> = to.backends.iter().map(|one| (one.address, one)).collect();
    let gone = from.backends.iter().filter(|one| !kept.contains_key(&one.address));
    steps.extend(gone.map(|one| Step::of(Kind::Remove, name).at(one.address)));
    for backend in &to.backends {
        let address = backend.address;
        match former.get(&address) {
            None => steps.push(added(to, backend)),
            Some(former) => {
                let changes = changes(&without(*former, &[]), &without(backend, &[]));
                steps.extend(changes.into_iter().map(of_it).map(|step| step.at(address)));
            }
        }
    }
    if former.len() == kept.len() && is_reordered(from, to) {
        steps.push(Step { key: Some("order of backends".into()), ..Step::of(Kind::Change, name) });
    }
}

fn is_reordered(from: &Service, to: &Service) -> bool {
    let mut pairs = from.backends.iter().zip(&to.backends);
    let is_same_set = to.backends.iter().all(|one| from.backend(one.address).is_some());
    is_same_set && pairs.any(|(from, to)| from.address != to.address)
}

/// Returns the keys whose values differ, dotted as in the file.
#[must_use]
pub fn changes(from: &Value, to: &Value) -> Vec<Step> {
    let mut steps = Vec::new();
    compare(&mut Vec::new(), from, to, &mut steps);
    steps
}

fn compare<'a>(path: &mut Vec<&'a str>, from: &'a Value, to: &'a Value, steps: &mut Vec<Step>) {
    if from == to {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        let key = path.join(".");
        let (from, to) = (shown_of(&key, from), shown_of(&key, to));
        steps.push(Step { key: Some(key), from, to, ..Step::bare(Kind::Change) });
        return;
    };
    let fresh = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(fresh) {
        path.push(key);
        compare(path, of(old, key), of(new, key), steps);
        path.pop();
    }
}

fn of<'a>(object: &'a Map<String, Value>, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

/// Serializes a value to JSON, without some keys.
fn without(value: &impl Serialize, keys: &[&str]) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    if let Value::Object(object) = &mut value {
        object.retain(|key, _| !keys.contains(&key.as_str()));
    }
    value
}
