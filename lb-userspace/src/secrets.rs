//! What is kept and used, but not shown: passwords in what checks send.

use serde_json::Value;

/// What stands in its place.
pub(crate) const HIDDEN: &str = "(hidden)";

/// Keys of checks whose values are not shown.
const KEYS: [&str; 1] = ["send"];

/// Whether the value of a key, dotted as in the file, is not shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let (_, name) = key.rsplit_once('.').unwrap_or(("", key));
    KEYS.contains(&name)
}

/// A value as it may be shown.
pub(crate) fn shown(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let shown = |(key, value): (&String, &Value)| {
                let is_hidden = is_secret(key) && !value.is_null();
                (key.clone(), if is_hidden { HIDDEN.into() } else { self::shown(value) })
            };
            Value::Object(object.iter().map(shown).collect())
        }
        Value::Array(values) => values.iter().map(shown).collect(),
        other => other.clone(),
    }
}

/// The value of a key as it may be shown.
pub(crate) fn shown_of(key: &str, value: &Value) -> Value {
    if is_secret(key) && !value.is_null() { HIDDEN.into() } else { shown(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sent_is_hidden_however_deep_it_is() {
        let value = json!({ "health": [{ "send": "AUTH x", "path": "/" }], "send": null });
        assert_eq!(
            shown(&value),
            json!({ "health": [{ "send": HIDDEN, "path": "/" }], "send": null })
        );
        assert_eq!(shown_of("defaults.health.send", &"x".into()), HIDDEN);
        assert_eq!(shown_of("resend", &"x".into()), "x");
    }
}
