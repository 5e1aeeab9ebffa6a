//! `KEY=VALUE`, of the type that the key has in the file.

use serde_json::Value;

use crate::config::reference;

type Pair = (String, Value);

/// Of a key of `[[service]]`.
pub(super) fn of_service(text: &str) -> Result<Pair, String> {
    pair(&reference::service().to_value(), text)
}

/// Of a key of a table in `[[service]]`.
pub(super) fn of(table: &str, text: &str) -> Result<Pair, String> {
    pair(&reference::service().to_value()["properties"][table], text)
}

/// What is not of its key's type is left as text, for the daemon to say so.
fn pair(schema: &Value, text: &str) -> Result<Pair, String> {
    let (key, text) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let value = match schema["properties"][key]["type"].as_str() {
        Some("integer") => text.parse::<i64>().ok().map(Value::from),
        Some("boolean") => text.parse::<bool>().ok().map(Value::from),
        Some("array") => serde_json::from_str(text)
            .ok()
            .or_else(|| Some(text.split_whitespace().map(Value::from).collect())),
        _ => None,
    };
    Ok((key.to_owned(), value.unwrap_or_else(|| text.into())))
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
    }
}
