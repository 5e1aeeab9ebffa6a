//! `KEY=VALUE` with the type of the key in the file.

use std::num::{IntErrorKind, ParseIntError};

use anyhow::anyhow;
use lb_config::reference;
use lb_model::Keys;
use serde_json::Value;

use super::exit::Failure;

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
        Some("integer") => match text.parse::<i64>() {
            Ok(number) => Some(number.into()),
            Err(error) if is_beyond(&error) => return Err(beyond(described, key, text)),
            Err(_) => None,
        },
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        Some("array") => serde_json::from_str(text)
            .ok()
            .or_else(|| Some(text.split_whitespace().map(Value::from).collect())),
        _ => None,
    };
    Ok((key.to_owned(), value.unwrap_or_else(|| text.into())))
}

fn is_beyond(error: &ParseIntError) -> bool {
    matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow)
}

fn beyond(described: &Value, key: &str, text: &str) -> String {
    let (first, last) = (&described["minimum"], &described["maximum"]);
    format!("{text} is out of range: `{key}` is {first} to {last}")
}

/// Returns an empty string for a string key; other keys cannot be empty.
fn empty(described: &Value, key: &str) -> Result<Value, String> {
    let is_text = described["type"] == "string" && described["format"].is_null() && key != "vip";
    if is_text {
        return Ok(Value::Null);
    }
    Err(format!("`{key}` is empty: give a value, or reset it to its default with --unset"))
}

/// Sets a key, given as in the file: `slow_start`, `health.path`. Refuses one that is set already.
pub(super) fn put(keys: &mut Keys, path: &str, value: Value) -> Result<(), Failure> {
    let Some((table, key)) = path.split_once('.') else {
        return put_new(keys, path, path, value);
    };
    match keys.entry(table).or_insert_with(|| Keys::new().into()) {
        Value::Object(inner) => put_new(inner, path, key, value),
        _ => Err(given_twice(table, path)),
    }
}

fn put_new(keys: &mut Keys, path: &str, key: &str, value: Value) -> Result<(), Failure> {
    if let Some(Value::Object(table)) = keys.get(key)
        && let Some(inner) = table.keys().next()
    {
        return Err(given_twice(path, &format!("{path}.{inner}")));
    }
    match keys.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(given_twice(path, path)),
    }
}

fn given_twice(one: &str, other: &str) -> Failure {
    Failure::Usage(if one == other {
        anyhow!("`{one}` is given twice: give it once")
    } else {
        anyhow!("`{one}` and `{other}` contradict each other: give one of them")
    })
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
    fn a_number_of_many_digits_is_out_of_range() {
        let said = of_service("min_active=12345678901234567890").expect_err("too large");
        assert!(said.contains("is out of range: `min_active` is 1 to 4294967295"), "{said}");
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

    #[test]
    fn keys_that_contradict_each_other_are_refused() {
        let all = |paths: &[&str]| {
            let mut keys = Keys::new();
            let put = |path: &&str| put(&mut keys, path, Value::Null);
            paths.iter().try_for_each(put).map_err(|failure| {
                let Failure::Usage(error) = failure else { panic!("{failure:?}") };
                error.to_string()
            })
        };
        for paths in [&["health.path", "health.rise", "vip"][..], &["timeouts.closed", "health"]] {
            assert_eq!(all(paths), Ok(()), "{paths:?}");
        }
        let twice = "is given twice: give it once";
        assert_eq!(all(&["vip", "mode", "vip"]), Err(format!("`vip` {twice}")));
        assert_eq!(all(&["health.path", "health.path"]), Err(format!("`health.path` {twice}")));
        let both = |one, other| {
            Err(format!("`{one}` and `{other}` contradict each other: give one of them"))
        };
        assert_eq!(all(&["health", "health.path"]), both("health", "health.path"));
        assert_eq!(all(&["health.path", "health"]), both("health", "health.path"));
    }
}
