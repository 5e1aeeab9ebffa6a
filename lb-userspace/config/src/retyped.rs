//! Changes of a check's type by commands. A check in the file inherits nothing from a default of
//! another type.

use anyhow::Result;
use lb_model::{HealthCheck, Keys, Probe};
use serde_json::Value;

use super::{validate::uses, word};

/// Adds the keys of the former check that the new type uses too.
pub(super) fn keep_keys(keys: &mut Keys, former: &HealthCheck) -> Result<()> {
    let Some(Value::Object(health)) = keys.get_mut("health") else { return Ok(()) };
    let Some(probe) = health.get("type").and_then(probe) else { return Ok(()) };
    if probe == former.probe {
        return Ok(());
    }
    let is_expecting = health.contains_key("expect") || health.contains_key("contains");
    for (key, value) in requested(former)? {
        let gives_way = is_expecting && matches!(key.as_str(), "expect" | "contains");
        if uses(probe, &key) && !gives_way {
            health.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// Returns warnings of the keys that the new type of a check does not use. Those that the change
/// has reset are not missed.
pub(super) fn dropped(former: &HealthCheck, new: &HealthCheck, change: &Keys) -> Vec<String> {
    if new.probe == former.probe {
        return Vec::new();
    }
    let is_reset = |key: &str| match change.get("health") {
        Some(Value::Null) => true,
        Some(health) => health.get(key).is_some_and(Value::is_null),
        None => false,
    };
    let keys = requested(former).unwrap_or_default().into_iter().map(|(key, _)| key);
    let dropped = keys.filter(|key| !uses(new.probe, key) && !is_reset(key));
    let kind = word(&new.probe);
    dropped
        .map(|key| format!("`health.{key}` is dropped: a check of type {kind} does not use it"))
        .collect()
}

fn probe(word: &Value) -> Option<Probe> {
    serde_json::from_value(word.clone()).ok()
}

/// Returns the keys of a check that not all types use.
fn requested(check: &HealthCheck) -> Result<Keys> {
    let Value::Object(keys) = serde_json::to_value(&check.request)? else {
        return Ok(Keys::new());
    };
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{changed_service, service};
    use lb_model::Policy;

    /// Returns the check after a change and the warnings of the change.
    fn changed(health: &Value, change: &Value) -> (Value, Vec<String>) {
        let keys = json!({ "vip": "203.0.113.10:80", "health": health });
        let web = service("web", keys.as_object().expect("keys"), &Policy::default());
        let web = web.expect("valid");
        let change = json!({ "health": change });
        let change = change.as_object().expect("keys");
        let after = changed_service(&web, change, &Policy::default()).expect("valid");
        let (former, new) = (&web.policy.health, &after.policy.health);
        (requested(new).expect("keys").into(), dropped(former, new, change))
    }

    #[test]
    fn a_new_type_keeps_the_keys_that_it_uses_and_the_others_are_named() {
        let http = json!({ "type": "http", "path": "/x", "host": "a", "port": 8080 });
        let (https, dropped) = changed(&http, &json!({ "type": "https", "verify": false }));
        let kept = json!({ "path": "/x", "host": "a", "port": 8080, "verify": false });
        assert_eq!((https, dropped), (kept, vec![]));
        let (tcp, dropped) = changed(&http, &json!({ "type": "tcp", "host": null }));
        assert_eq!(tcp, json!({ "port": 8080 }));
        assert_eq!(
            dropped,
            ["`health.path` is dropped: a check of type tcp does not use it"],
            "`host` was reset by the change"
        );
        let (none, dropped) = changed(&http, &json!({ "type": "none" }));
        assert_eq!((none, dropped.len()), (json!({}), 3));
    }

    #[test]
    fn a_given_key_replaces_a_kept_one() {
        let http = json!({ "type": "http", "path": "/x", "expect": "a" });
        let (https, _) = changed(&http, &json!({ "type": "https", "path": "/y", "contains": "b" }));
        assert_eq!(https, json!({ "path": "/y", "contains": "b" }));
    }
}
