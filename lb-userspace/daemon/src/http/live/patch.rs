//! Differences of JSON documents, as JSON Merge Patch (RFC 7396).

use serde_json::{Map, Value};

/// Returns the patch that makes `after` of `before`. None if they are equal. Neither has nulls.
pub(super) fn between(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut patch = Map::new();
    for (key, value) in after {
        let change = match before.get(key) {
            Some(before) => between(before, value),
            None => Some(value.clone()),
        };
        patch.extend(change.map(|change| (key.clone(), change)));
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    patch.extend(gone.map(|key| (key.clone(), Value::Null)));
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_has_only_what_has_changed() {
        let before =
            json!({ "at": 1, "web": { "a": { "up": true, "in": 5 }, "b": { "up": true } } });
        let after =
            json!({ "at": 2, "web": { "a": { "up": true, "in": 6 }, "c": { "up": false } } });
        let patch = json!({
            "at": 2, "web": { "a": { "in": 6 }, "b": null, "c": { "up": false } },
        });
        assert_eq!(between(&before, &after), Some(patch));
        assert_eq!(between(&after, &after), None);
    }

    #[test]
    fn lists_are_replaced() {
        let [before, after] = [json!({ "of": [1, 2] }), json!({ "of": [2] })];
        assert_eq!(between(&before, &after), Some(after));
    }
}
