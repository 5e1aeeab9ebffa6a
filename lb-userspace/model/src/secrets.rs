//! Secrets that are stored and used, but not shown: passwords in data that checks send, tokens, and URLs of
//! notifications.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// Placeholder of a hidden value.
pub const HIDDEN: &str = "(hidden)";

/// Keys whose values are not shown.
const KEYS: [&str; 3] = ["send", "http_token", "url"];

/// Returns true if the value of a key, dotted as in the file, is not shown.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let (_, name) = key.rsplit_once('.').unwrap_or(("", key));
    KEYS.contains(&name)
}

/// A value of a secret key in text that may not be TOML, or anything in its place up to the end of the line.
/// A key with an escape may be a secret one.
static IN_TOML: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"((?:\b(?:KEYS)["']?|"[^"\n]*\\[^\n]*?")[ \t]*=[ \t]*)("""(?s:[^\\]|\\.)*?(?:"{3,5}|\z)|'''(?s:.*?)(?:'{3,5}|\z)|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\n]*)"#,
    )
});

/// A value of a secret key in JSON.
static IN_JSON: LazyLock<Regex> = LazyLock::new(|| pattern(r#"("(?:KEYS)":)("(?:[^"\\]|\\.)*")"#));

fn pattern(text: &str) -> Regex {
    let pattern = Regex::new(&text.replace("KEYS", &KEYS.join("|")));
    pattern.unwrap_or_else(|error| unreachable!("it is tested: {error}"))
}

/// Masks what may be secrets in the text of a configuration file, keeping the length of each line.
#[must_use]
pub fn shown_file(text: &str) -> String {
    let veil = |found: &Captures<'_>| format!("{}{}", &found[1], stars(&found[2]));
    IN_TOML.replace_all(text, veil).into_owned()
}

/// Masks a text, keeping the length of each line.
#[must_use]
pub fn stars(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect()
}

/// Masks the secrets in the description of a version, as older versions of xdplb wrote it.
pub fn shown_history(what: &str) -> String {
    IN_JSON.replace_all(what, format!("${{1}}\"{HIDDEN}\"")).into_owned()
}

/// Returns a value with its secrets masked.
pub fn shown(value: &Value) -> Value {
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

/// Returns the value of a key with its secrets masked.
#[must_use]
pub fn shown_of(key: &str, value: &Value) -> Value {
    if is_secret(key) && !value.is_null() { HIDDEN.into() } else { shown(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_secrets_are_hidden() {
        let value = json!({ "health": [{ "send": "AUTH x", "path": "/" }], "send": null });
        assert_eq!(
            shown(&value),
            json!({ "health": [{ "send": HIDDEN, "path": "/" }], "send": null })
        );
        assert_eq!(shown_of("defaults.health.send", &"x".into()), HIDDEN);
        assert_eq!(shown_of("resend", &"x".into()), "x");
    }

    #[test]
    fn secrets_of_a_file_are_masked_in_place() {
        for (text, shown) in [
            ("send = \"AUTH x\"\nfall = 2", "send = ********\nfall = 2"),
            ("{ send='AUTH', fall = 2 }", "{ send=******, fall = 2 }"),
            ("\"send\" = \"a\\\"b\" # c", "\"send\" = ****** # c"),
            ("send = \"\"\"a\nb\"\"\"\nx", "send = ****\n****\nx"),
            ("send = \"AUTH\nfall = 2", "send = *****\nfall = 2"),
            ("health.send = \"é\"", "health.send = ****"),
            ("resend = 1", "resend = 1"),
        ] {
            assert_eq!(shown_file(text), shown);
            assert_eq!(shown_file(text).len(), text.len(), "{text}");
        }
        let what = r#"web set to health {"fall":2,"send":"AUTH \"x\"","type":"send-expect"}"#;
        let shown = r#"web set to health {"fall":2,"send":"(hidden)","type":"send-expect"}"#;
        assert_eq!(shown_history(what), shown);
    }
}
