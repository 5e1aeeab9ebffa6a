//! Text of a file with its secrets masked.

use std::ops::Range;

use lb_model::secrets;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

/// Masks the secrets in the text of a configuration file, keeping the length of each line. What may be a
/// secret in a text that is not TOML is masked as well.
pub(super) fn shown(text: &str) -> String {
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return secrets::shown_file(text);
    }
    let mut spans = Vec::new();
    find(tree.get_ref(), &mut spans);
    if let Some(recipients) = tree.get_ref().get("notify") {
        find_urls(recipients, &mut spans);
    }
    spans.sort_by_key(|span| span.start);
    masked(text, &spans)
}

/// Finds the values of secret keys.
fn find(table: &DeTable<'_>, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        if secrets::is_secret(key.get_ref()) {
            spans.push(value.span());
        } else {
            find_in_value(value.get_ref(), spans);
        }
    }
}

fn find_in_value(value: &DeValue<'_>, spans: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => find(table, spans),
        DeValue::Array(values) => {
            values.iter().for_each(|value| find_in_value(value.get_ref(), spans));
        }
        _ => {}
    }
}

/// Finds URLs, which may contain a secret, also under a mistyped key.
fn find_urls(value: &Spanned<DeValue<'_>>, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.iter().for_each(|(_, value)| find_urls(value, spans)),
        DeValue::Array(values) => values.iter().for_each(|value| find_urls(value, spans)),
        DeValue::String(text) if text.contains("://") => spans.push(value.span()),
        _ => {}
    }
}

fn masked(text: &str, spans: &[Range<usize>]) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for span in spans.iter().filter(|span| !span.is_empty()) {
        let start = span.start.max(end);
        shown.push_str(text.get(end..start).unwrap_or_default());
        shown.push_str(&secrets::stars(text.get(start..span.end).unwrap_or_default()));
        end = span.end.max(end);
    }
    shown.push_str(text.get(end..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_however_they_are_written() {
        for (text, expected) in [
            ("send = \"AUTH x\"\nfall = 2", "send = ********\nfall = 2"),
            ("send = \"\"\"top\\\"\"\"SECRET\"\"\"\nx = 1", "send = *******************\nx = 1"),
            ("\"\\u0073end\" = \"X\"", "\"\\u0073end\" = ***"),
            ("send = [\"A\",\n \"B\"]\nx = 1", "send = *****\n*****\nx = 1"),
            ("[[a]]\nb = { send = '''X''''', c = 1 }", "[[a]]\nb = { send = *********, c = 1 }"),
            ("health.send = \"é\" # send = \"\"", "health.send = **** # send = \"\""),
            ("resend = 1", "resend = 1"),
            ("[[notify]]\nurll = \"a://b\"", "[[notify]]\nurll = *******"),
            (
                "notify = [{ events = [\"a://b\", \"c\"] }]",
                "notify = [{ events = [*******, \"c\"] }]",
            ),
        ] {
            assert_eq!(shown(text), expected);
            assert_eq!(shown(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_masked_in_a_text_that_is_not_toml() {
        for text in [
            "fall = \nsend = \"\"\"top\\\"\"\"SECRET\"\"\"",
            "fall = \nsend = \"\"\"top\nSECRET\"\"\"\"\"\nx = 1",
            "fall = \n\"\\u0073end\" = \"SECRET\"",
            "fall = \n\"s\\x65nd\" = \"\"\"\nSECRET\"\"\"",
            "send = \"\"\"top\nSECRET\\\"\"\"",
        ] {
            let shown = shown(text);
            assert!(!shown.contains("SECRET"), "{shown}");
            assert_eq!(shown.len(), text.len(), "{text}");
        }
    }
}
