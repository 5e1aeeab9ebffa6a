//! Sanitizing of untrusted text for a terminal or a log: control characters are escaped, so that a
//! path, a certificate or a server's answer can neither move the cursor nor forge a line.

use std::{borrow::Cow, fmt::Write as _};

/// Escapes all except printable characters and newlines.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unsafe(c), |out, c| out.extend(c.escape_default()))
}

/// Escapes all except printable characters: the text stays on one line.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe, |out, c| out.extend(c.escape_default()))
}

/// Escapes characters in the strings of a JSON text that JSON allows unescaped. The value stays the
/// same.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let is_raw = |c| c != '\n' && is_unsafe(c);
    escaped(text, is_raw, escape_as_json)
}

fn escape_as_json(out: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").expect("a string takes anything");
    }
}

/// Formats a key and its value on one line, as in `key=value` or `key="some value"`. What is quoted is a
/// string of JSON.
#[must_use]
pub fn pair(key: &str, value: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !is_unsafe(c) && !matches!(c, '"' | '\\' | '=');
    if !value.is_empty() && value.chars().all(is_plain) {
        return format!("{key}={value}");
    }
    let quoted = escaped(
        value,
        |c| is_unsafe(c) || matches!(c, '"' | '\\'),
        |out, c| match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            _ => escape_as_json(out, c),
        },
    );
    format!("{key}=\"{quoted}\"")
}

fn escaped(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    let Some(first) = text.find(&is_escaped) else { return text.into() };
    let (clean, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(clean);
    for c in rest.chars() {
        if is_escaped(c) { escape(&mut out, c) } else { out.push(c) }
    }
    out.into()
}

/// Returns true for control characters, and for those that change the order or the lines of the
/// text around them.
fn is_unsafe(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    ) || c.is_control()
}

/// Quotes a word for a shell, if it has to be.
#[must_use]
pub fn word(text: &str) -> Cow<'_, str> {
    shell_words::quote(text)
}

/// Formats a MAC address.
#[must_use]
pub fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &str = "a\x1b]0;owned\x07b\u{9b}2Jc\u{7f}d\u{202e}e\rf\ng\th\0";

    #[test]
    fn control_characters_are_escaped() {
        let escaped = "a\\u{1b}]0;owned\\u{7}b\\u{9b}2Jc\\u{7f}d\\u{202e}e\\rf\\ng\\th\\u{0}";
        assert_eq!(line(HOSTILE), escaped);
        assert_eq!(lines(HOSTILE), escaped.replace("\\n", "\n"));
        assert!(matches!(line("ä → 日本 \u{1f600}"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_shell_takes_a_quoted_word_as_it_is() {
        assert_eq!(word("eth0.100"), "eth0.100");
        for hostile in ["$(reboot)", "a;b", "a'b", "*", "~", "`x`", "a&b", "#"] {
            let split = shell_words::split(&word(hostile)).expect("quoted");
            assert_eq!(split, [hostile]);
            assert!(word(hostile).starts_with('\''), "{hostile}");
        }
    }

    #[test]
    fn values_that_are_no_word_are_quoted() {
        for (value, expected) in [
            ("10.0.0.11:80", "key=10.0.0.11:80"),
            ("", "key=\"\""),
            ("no route", "key=\"no route\""),
            ("a=b", "key=\"a=b\""),
            ("say \"x\\y\"", "key=\"say \\\"x\\\\y\\\"\""),
            ("a\nkey=b\x1b[2J", "key=\"a\\nkey=b\\u001b[2J\""),
        ] {
            assert_eq!(pair("key", value), expected);
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(text: String) {
            prop_assert!(!line(&text).contains(is_unsafe));
            prop_assert!(!pair("key", &text).contains(is_unsafe));
            prop_assert!(!lines(&text).contains(|c| c != '\n' && is_unsafe(c)));
        }

        #[test]
        fn a_quoted_value_is_a_string_of_json(text in "(\\PC|[\"\\\\ \u{0}-\u{9f}\u{202a}-\u{202e}\u{feff}]){0,16}") {
            let pair = pair("key", &text);
            let value = pair.strip_prefix("key=").expect("the key");
            let read = if value.starts_with('"') {
                serde_json::from_str(value).expect("JSON")
            } else {
                value.to_owned()
            };
            prop_assert_eq!(read, text);
        }

        #[test]
        fn json_keeps_its_value(text in "(\\PC|[\u{0}-\u{9f}\u{202a}-\u{202e}]){0,16}") {
            let raw = serde_json::to_string_pretty(&[&text]).expect("JSON");
            let shown = json(&raw);
            prop_assert!(!shown.contains(|c| c != '\n' && is_unsafe(c)), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<[String; 1]>(&shown).expect("JSON"), [text]);
        }
    }
}
