//! Keys of answers that a change may repeat: what `GET` returns can be sent back by `PATCH`.

use std::net::SocketAddr;

use jiff::Timestamp;
use lb_model::{
    Admin, KeyFault, Keys,
    views::{BackendView, ServiceView},
};
use schemars::Schema;
use serde_json::{Map, Value, json};

use super::Failed;

/// Keys of a service that cannot be changed by a change of the service, each with the fix.
const FIXED: [(&str, &str); 3] = [
    ("name", "add a service with the new name, and remove this one"),
    ("protocol", "leave it as it is"),
    (
        "backends",
        "the service may have changed since it was read: read it again; add, change and remove \
         backends one by one, at the service's path with /backends",
    ),
];

/// State of a service, which is ignored. Origins change with every key that is set.
const STATE: [&str; 3] = ["warnings", "steps", "origins"];

/// State of a backend, which is ignored.
const STATE_OF_BACKEND: [&str; 14] = [
    "origin",
    "health",
    "since",
    "detail",
    "last_check",
    "unusable",
    "in_ring",
    "effective_weight",
    "slow_start",
    "refusing",
    "active_connections",
    "connections_total",
    "packets_total",
    "bytes_total",
];

/// State of a backend that an operator may want to set, and that does not change by itself all the
/// time.
const TOLD: [&str; 3] = ["health", "in_ring", "refusing"];

const DRAIN_UNTIL: &str = "drain_until";

/// Returns true if a change of a service repeats keys that must be compared with the service.
pub(super) fn are_in(keys: &Keys) -> bool {
    FIXED.iter().any(|(key, _)| keys.contains_key(*key))
}

/// Removes the state of a service from a change.
pub(super) fn without_state(keys: &mut Keys) {
    keys.retain(|key, _| !STATE.contains(&key.as_str()));
}

/// Removes the keys that a change of a service repeats; refuses those that differ.
pub(super) fn remove(keys: &mut Keys, service: &ServiceView) -> Result<(), Failed> {
    let shown = serde_json::to_value(service).unwrap_or_default();
    let mut faults = Vec::new();
    for (key, fix) in FIXED {
        let Some(sent) = keys.remove(key) else { continue };
        let is_same = match key {
            "backends" => settings_of(&sent) == settings_of(&shown[key]),
            _ => sent == shown[key],
        };
        if !is_same {
            faults.push(KeyFault::at(
                &[key.to_owned()],
                format!("`{key}` cannot be changed here: {fix}"),
            ));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Failed::of_keys(faults)) }
}

/// Returns the settings of backends, or None if one is invalid.
fn settings_of(backends: &Value) -> Option<Vec<Map<String, Value>>> {
    let settings = |backend: &Value| {
        let mut keys = backend.as_object()?.clone();
        keys.retain(|key, _| !STATE_OF_BACKEND.contains(&key.as_str()));
        Some(keys)
    };
    backends.as_array()?.iter().map(settings).collect()
}

/// Returns true if a change of a backend has keys that must be compared with the backend.
pub(super) fn are_in_backend(keys: &Keys) -> bool {
    keys.contains_key(DRAIN_UNTIL) || TOLD.iter().any(|key| keys.contains_key(*key))
}

/// Returns warnings of state that a change of a backend would set: it is left as it is.
pub(super) fn warnings(keys: &Keys, shown: &BackendView) -> Vec<String> {
    let shown = serde_json::to_value(shown).unwrap_or_default();
    let differs = |key: &&str| keys.get(*key).is_some_and(|sent| *sent != shown[*key]);
    let warning = |key| {
        let present = &shown[key];
        format!("`{key}` is state, which a change does not set: it stays {present}")
    };
    TOLD.into_iter().filter(differs).map(warning).collect()
}

/// Removes the keys that a change of a backend repeats; `drain_until` of answers is `until` of
/// changes.
pub(super) fn remove_of_backend(
    keys: &mut Keys,
    address: SocketAddr,
    shown: Option<&BackendView>,
) -> Result<(), Failed> {
    keys.retain(|key, _| !STATE_OF_BACKEND.contains(&key.as_str()));
    remove_drain_until(keys, shown.and_then(|shown| shown.drain_until))?;
    match keys.remove("address") {
        Some(sent) if sent != address.to_string() => Err(fault(
            "address",
            "`address` cannot be changed: add a backend with the new address, and remove this one",
        )),
        _ => Ok(()),
    }
}

/// Removes `drain_until`, which sets `until` if the change drains the backend. Otherwise it may
/// only repeat the answer.
fn remove_drain_until(keys: &mut Keys, shown: Option<Timestamp>) -> Result<(), Failed> {
    let Some(sent) = keys.remove(DRAIN_UNTIL).filter(|sent| !sent.is_null()) else {
        return Ok(());
    };
    let until = time(DRAIN_UNTIL, &sent)?;
    if keys.get("until").is_some_and(|until| !until.is_null()) {
        return Ok(());
    }
    if keys.get("admin") == Some(&json!(Admin::Draining)) {
        keys.insert("until".to_owned(), sent);
        return Ok(());
    }
    if shown == Some(until) {
        return Ok(());
    }
    let detail =
        "`drain_until` is for draining: give it with `admin` as `draining`, or leave it out";
    Err(fault(DRAIN_UNTIL, detail))
}

/// Returns the time that a key has.
pub(super) fn time(key: &str, sent: &Value) -> Result<Timestamp, Failed> {
    let parsed = sent.as_str().and_then(|text| text.parse().ok());
    let detail = || format!("`{key}` is {sent}: write a time as in 2026-01-31T12:00:00Z");
    parsed.ok_or_else(|| fault(key, detail()))
}

fn fault(key: &str, detail: impl Into<String>) -> Failed {
    Failed::of_keys(vec![KeyFault::at(&[key.to_owned()], detail)])
}

/// Adds the keys of answers to the schema of a service's changes.
pub(super) fn describe(schema: &mut Schema) {
    let Some(properties) = properties(schema) else { return };
    properties.extend(FIXED.iter().map(|(key, _)| {
        let what = "Accepted if it is the same as in the answer to GET.";
        ((*key).to_owned(), json!({ "description": what }))
    }));
    properties.extend(STATE.iter().map(|key| ((*key).to_owned(), ignored())));
}

/// Adds the keys of answers to the schema of a backend's changes.
pub(super) fn describe_of_backend(schema: &mut Schema) {
    let mut until = schema.as_value()["properties"]["until"].clone();
    until["description"] = json!(
        "The same as `until` if `admin` is `draining`; otherwise accepted if it is as in the answer to GET."
    );
    let Some(properties) = properties(schema) else { return };
    properties.insert(DRAIN_UNTIL.to_owned(), until);
    let what = "Accepted if it is the one in the path.";
    properties.insert("address".to_owned(), json!({ "description": what }));
    properties.extend(STATE_OF_BACKEND.iter().map(|key| ((*key).to_owned(), ignored())));
}

fn properties(schema: &mut Schema) -> Option<&mut Map<String, Value>> {
    schema.as_object_mut()?.get_mut("properties")?.as_object_mut()
}

fn ignored() -> Value {
    json!({ "description": "State in answers, ignored in changes.", "readOnly": true })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use lb_model::views::BackendView;

    const SETTINGS: [&str; 5] = ["address", "weight", "backup", "admin", "drain_until"];

    #[test]
    fn every_key_of_a_backend_is_a_setting_or_state() {
        let mut schema = schemars::schema_for!(BackendView).to_value();
        let properties = schema["properties"].as_object_mut().expect("keys");
        properties
            .retain(|key, _| ![&SETTINGS[..], &STATE_OF_BACKEND].concat().contains(&key.as_str()));
        assert_eq!(json!(properties), json!({}));
    }
}
