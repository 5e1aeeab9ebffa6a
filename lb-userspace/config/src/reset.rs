//! Reset of keys to their defaults.

use anyhow::Result;
use lb_model::{KeyFault, Keys, Policy};
use serde_json::Value;

use super::reference;

/// Returns the keys of a `[[service]]` that have a value, and the policy with each null key reset
/// to its value in `defaults`, or to none.
pub(super) fn nulls(keys: &Keys, policy: &Policy, defaults: &Policy) -> Result<(Keys, Policy)> {
    let mut policy = serde_json::to_value(policy)?;
    let (defaults, schema) = (serde_json::to_value(defaults)?, reference::service().to_value());
    let left = take(&[], keys, &mut policy, &defaults, &schema)?;
    Ok((left, serde_json::from_value(policy)?))
}

fn take(
    path: &[String],
    keys: &Keys,
    fields: &mut Value,
    defaults: &Value,
    schema: &Value,
) -> Result<Keys, KeyFault> {
    let mut left = Keys::new();
    for (key, value) in keys {
        let described = &schema["properties"][key];
        let path = [path, std::slice::from_ref(key)].concat();
        match value {
            Value::Null if described.is_null() => {
                return Err(KeyFault::at(&path, format!("unknown key `{key}`: remove it")));
            }
            Value::Null if is_required(schema, key) => {
                let detail = format!("`{key}` has no default: give it a value");
                return Err(KeyFault::at(&path, detail));
            }
            Value::Null => reset(fields, key, defaults.get(key)),
            Value::Object(table) if fields[key].is_object() => {
                let table = take(&path, table, &mut fields[key], &defaults[key], described)?;
                left.insert(key.clone(), table.into());
            }
            _ => {
                left.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(left)
}

fn is_required(schema: &Value, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|keys| keys.iter().any(|one| one == key))
}

fn reset(fields: &mut Value, key: &str, default: Option<&Value>) {
    let Value::Object(fields) = fields else { return };
    match default {
        Some(default) => fields.insert(key.to_owned(), default.clone()),
        None => fields.remove(key),
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{changed_service, service};
    use lb_model::{CheckRequest, HealthCheck, Probe, Turns};

    fn keys(value: Value) -> Keys {
        let Value::Object(keys) = value else { panic!("no object") };
        keys
    }

    #[test]
    fn a_null_key_has_its_default_again() {
        let health = HealthCheck { interval: Duration::from_secs(5), ..HealthCheck::default() };
        let defaults = Policy { health, ..Policy::default() };
        let all = json!({
            "vip": "203.0.113.10:80", "slow_start": "10s", "min_active": 2,
            "health": { "type": "http", "interval": "9s", "expect": "x", "path": "/y" },
        });
        let web = service("web", &keys(all), &defaults).expect("valid");
        let nulls = json!({
            "slow_start": null, "health": { "interval": null, "expect": null, "rise": 7 },
        });
        let policy = changed_service(&web, &keys(nulls), &defaults).expect("valid").policy;
        assert_eq!((policy.failover.slow_start, policy.failover.min_active), (Duration::ZERO, 2));
        let request = CheckRequest { path: Some("/y".to_owned()), ..CheckRequest::default() };
        let health =
            HealthCheck { probe: Probe::Http, rise: 7, request, ..defaults.health.clone() };
        assert_eq!(policy.health, health);
        let whole = changed_service(&web, &keys(json!({ "health": null })), &defaults);
        assert_eq!(whole.expect("valid").policy.health, defaults.health);
    }

    #[test]
    fn turns_of_each_cpu_end_with_round_robin() {
        let defaults = Policy::default();
        let turns = json!({ "vip": "203.0.113.10:80", "turns": "per-cpu" });
        let web = service("web", &keys(turns), &defaults).expect("valid");
        assert_eq!(web.policy.turns, Turns::PerCpu);
        for change in [json!({ "turns": null }), json!({ "scheduler": "maglev" })] {
            let changed = changed_service(&web, &keys(change), &defaults).expect("valid");
            assert_eq!(changed.policy.turns, Turns::Strict);
        }
        let both = keys(json!({ "scheduler": "maglev", "turns": "per-cpu" }));
        let error = changed_service(&web, &both, &defaults).expect_err("no turns").to_string();
        assert!(error.contains("takes no turns"), "{error}");
    }

    #[test]
    fn a_key_without_default_cannot_be_null() {
        let defaults = Policy::default();
        let web = service("web", &keys(json!({ "vip": "203.0.113.10:80" })), &defaults);
        let web = web.expect("valid");
        for (nulls, word) in [
            (json!({ "vip": null }), "`vip` has no default"),
            (json!({ "nope": null }), "unknown key `nope`"),
            (json!({ "health": { "nope": null } }), "unknown key `nope`"),
        ] {
            let error = changed_service(&web, &keys(nulls), &defaults).expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
