//! `KEY=VALUE` with the type of the key in the file.

use serde_json::Value;

use crate::{config::reference, control::Keys};

type Pair = (String, Value);

/// Parses a key of `[[service]]`.
pub(super) fn of_service(text: &str) -> Result<Pair, String> {
    let schema = reference::service().to_value();
    match text.split_once('=') {
        Some((key, _)) if key.contains('.') => {
            let (table, _) = key.split_once('.').unwrap_or((key, ""));
            let (key, value) = pair(&schema["properties"][table], &text[table.len() + 1..])?;
            Ok((format!("{table}.{key}"), value))
        }
        _ => pair(&schema, text),
    }
}

/// Parses a key of a table in `[[service]]`.
pub(super) fn of(table: &str, text: &str) -> Result<Pair, String> {
    pair(&reference::service().to_value()["properties"][table], text)
}

/// Values of another type are sent as text, so that the daemon returns an error.
fn pair(schema: &Value, text: &str) -> Result<Pair, String> {
    let (key, text) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let described = &schema["properties"][key];
    if text.is_empty() {
        return empty(described, key).map(|value| (key.to_owned(), value));
    }
    let value = match described["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        Some("array") => serde_json::from_str(text)
            .ok()
            .or_else(|| Some(text.split_whitespace().map(Value::from).collect())),
        _ => None,
    };
    Ok((key.to_owned(), value.unwrap_or_else(|| text.into())))
}

/// Returns an empty string for a string key; other keys cannot be empty.
fn empty(described: &Value, key: &str) -> Result<Value, String> {
    let is_text = described["type"] == "string" && described["format"].is_null() && key != "vip";
    if is_text {
        return Ok(Value::Null);
    }
    Err(format!("`{key}` is empty: give a value, or reset it to its default with --unset"))
}

/// Sets a key, given as in the file: `slow_start`, `health.path`.
pub(super) fn put(keys: &mut Keys, path: &str, value: Value) {
    let Some((table, key)) = path.split_once('.') else {
        keys.insert(path.to_owned(), value);
        return;
    };
    let table = keys.entry(table).or_insert_with(|| Keys::new().into());
    if let Value::Object(table) = table {
        table.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_types_of_their_keys() {
        for (text, key, value) in [
            ("rise=3", "rise", json!(3)),
            ("status=200", "status", json!("200")),
            ("expect=true", "expect", json!("true")),
            ("verify=false", "verify", json!(false)),
            ("port=x", "port", json!("x")),
            ("path=/a=b", "path", json!("/a=b")),
            ("command=/bin/check --quick", "command", json!(["/bin/check", "--quick"])),
            ("command=[\"/bin/a b\"]", "command", json!(["/bin/a b"])),
            ("nope=1", "nope", json!("1")),
        ] {
            assert_eq!(of("health", text), Ok((key.to_owned(), value)), "{text}");
        }
        assert_eq!(of_service("min_active=2"), Ok(("min_active".to_owned(), json!(2))));
        assert!(of_service("min_active").is_err());
        let dotted = of_service("health.rise=3");
        assert_eq!(dotted, Ok(("health.rise".to_owned(), json!(3))));
    }

    #[test]
    fn an_empty_text_is_unset_and_nothing_else_is_empty() {
        assert_eq!(of("health", "path="), Ok(("path".to_owned(), Value::Null)));
        assert_eq!(of_service("health.path="), Ok(("health.path".to_owned(), Value::Null)));
        for empty in ["health.rise=", "slow_start=", "min_capacity=", "scheduler=", "vip="] {
            let error = of_service(empty).expect_err(empty);
            assert!(error.contains("--unset"), "{empty}: {error}");
        }
    }
}
