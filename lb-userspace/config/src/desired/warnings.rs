//! Warnings of changes by commands, like those of the same settings in a file.

use lb_model::{Change, Service};

use super::Document;
use crate::{
    retyped,
    validate::{NO_BACKENDS, ONLY_BACKUPS, has_only_backups},
};

/// Returns the warnings of a change of one document to another, without the name of the service.
#[must_use]
pub fn warnings(before: &Document, after: &Document, change: &Change) -> Vec<String> {
    let name = change.service();
    let Some(service) = after.service(name) else { return Vec::new() };
    let former = before.service(name).map(|former| &**former);
    let mut warnings: Vec<_> = of_backends(former, service).into_iter().collect();
    if let (Some(former), Change::SetService { keys, .. }) = (former, change) {
        warnings.extend(retyped::dropped(&former.policy.health, &service.policy.health, keys));
    }
    warnings
}

/// The end of the last backend is an outage, which the daemon reports with its cause.
fn of_backends(former: Option<&Service>, service: &Service) -> Option<String> {
    if former.is_none() && service.backends.is_empty() {
        let name = &service.name;
        return Some(format!("it {NO_BACKENDS}; add one: `xdplb backend add {name} ADDR:PORT`"));
    }
    let is_new = has_only_backups(service) && !former.is_some_and(has_only_backups);
    is_new.then(|| format!("it {ONLY_BACKUPS}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::edited;
    use lb_model::{Policy, Settings};

    /// Returns the document after a change, and its warnings.
    fn after(before: &Document, change: &Change) -> (Document, Vec<String>) {
        let after = edited(before, change, &Policy::default()).expect("valid");
        let warnings = warnings(before, &after, change);
        (after, warnings)
    }

    fn add(backends: &Value) -> Change {
        let keys = json!({ "vip": "203.0.113.10:80", "backend": backends });
        let keys = keys.as_object().expect("keys").clone();
        Change::AddService { name: "web".to_owned(), keys }
    }

    fn set(backup: bool) -> Change {
        let settings = Settings { backup: Some(backup), ..Settings::default() };
        let address = "10.0.0.1:80".parse().expect("an address");
        Change::SetBackend { service: "web".to_owned(), address, settings }
    }

    #[test]
    fn a_service_without_backends_or_with_backups_only_is_a_warning() {
        let nothing = Document::default();
        let (_, warned) = after(&nothing, &add(&json!([])));
        assert!(warned[0].starts_with("it has no backends: its connections are"), "{warned:?}");
        let backup = json!([{ "address": "10.0.0.1:80", "backup": true }]);
        let (_, warned) = after(&nothing, &add(&backup));
        assert_eq!(warned, ["it has backups only: they take all its connections"]);
        let (plain, warned) = after(&nothing, &add(&json!([{ "address": "10.0.0.1:80" }])));
        assert_eq!(warned, [""; 0]);
        let (backups, warned) = after(&plain, &set(true));
        assert_eq!(warned, ["it has backups only: they take all its connections"]);
        assert_eq!(after(&backups, &set(true)).1, [""; 0], "it is known");
    }

    #[test]
    fn keys_that_a_new_type_of_check_does_not_use_are_a_warning() {
        let mut service = add(&json!([{ "address": "10.0.0.1:80" }]));
        if let Change::AddService { keys, .. } = &mut service {
            keys.insert("health".to_owned(), json!({ "type": "http", "path": "/x" }));
        }
        let (before, _) = after(&Document::default(), &service);
        let keys = json!({ "health": { "type": "tcp" } });
        let keys = keys.as_object().expect("keys").clone();
        let (_, warned) = after(&before, &Change::SetService { name: "web".to_owned(), keys });
        assert_eq!(warned, ["`health.path` is dropped: a check of type tcp does not use it"]);
    }
}
