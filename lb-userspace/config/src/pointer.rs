//! JSON pointers to faults in a service that was sent as JSON.

use std::ops::Range;

use lb_model::{KeyFault, secrets};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, MOST_SHOWN};

/// Returns the faults of keys of the text.
pub(super) fn faults(text: &str, errors: &[Diagnostic]) -> Vec<KeyFault> {
    let (tree, _) = DeTable::parse_recoverable(text);
    let fault = |error: &Diagnostic| {
        let missing = || error.left_out.as_ref().map(|left_out| vec![left_out.key.clone()]);
        let path = path_to(tree.get_ref(), &error.span).or_else(missing)?;
        let is_secret = path.last().is_some_and(|key| secrets::is_secret(key));
        let detail = if is_secret { "the value is invalid".to_owned() } else { detail(error) };
        Some(KeyFault { detail, pointer: pointer(&path) })
    };
    errors.iter().take(MOST_SHOWN).filter_map(fault).collect()
}

fn detail(error: &Diagnostic) -> String {
    let Diagnostic { message, fix, .. } = error;
    let message = match message.strip_prefix("invalid type: ") {
        Some(value) => format!("{value} is wrong here"),
        None => message.clone(),
    };
    let fix = fix.replace("`backend`", "`backends`");
    if fix.is_empty() { message } else { format!("{message}: {fix}") }
}

/// Keys of a text by their spans.
pub(super) struct Keys<'a>(Spanned<DeTable<'a>>);

impl<'a> Keys<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(DeTable::parse_recoverable(text).0)
    }

    /// Returns the key at a span, dotted.
    pub(super) fn at(&self, place: &Range<usize>) -> Option<String> {
        Some(path_to(self.0.get_ref(), place)?.join("."))
    }
}

/// Returns the path of keys and indices to the innermost key or value at a span.
fn path_to(table: &DeTable<'_>, place: &Range<usize>) -> Option<Vec<String>> {
    table.iter().find_map(|(key, value)| {
        let inner = path_in(value, place);
        let inner = inner.or_else(|| (key.span() == *place).then(Vec::new))?;
        Some([vec![key.get_ref().to_string()], inner].concat())
    })
}

fn path_in(value: &Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<Vec<String>> {
    let inner = match value.get_ref() {
        DeValue::Table(table) => path_to(table, place),
        DeValue::Array(values) => values.iter().enumerate().find_map(|(nth, value)| {
            Some([vec![nth.to_string()], path_in(value, place)?].concat())
        }),
        _ => None,
    };
    inner.or_else(|| (value.span() == *place).then(Vec::new))
}

/// Formats a URI fragment (RFC 6901); backends have their name in JSON.
fn pointer(path: &[String]) -> String {
    let mut pointer = "#".to_owned();
    for (nth, key) in path.iter().enumerate() {
        let key = if nth == 0 && key == "backend" { "backends" } else { key };
        let key = key.replace('~', "~0").replace('/', "~1");
        pointer.push('/');
        pointer.push_str(&key);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{Diagnostics, service};
    use lb_model::Policy;

    #[test]
    fn a_missing_key_is_pointed_to() {
        let error = service("web", &lb_model::Keys::new(), &Policy::default()).expect_err("wrong");
        let faults = error.downcast_ref::<Diagnostics>().expect("diagnostics").keys();
        let [fault] = faults else { panic!("one: {faults:?}") };
        assert_eq!(fault.pointer, "#/vip");
        assert!(fault.detail.starts_with("`vip` is missing: give one"), "{fault:?}");
    }

    #[test]
    fn each_wrong_key_of_a_service_is_pointed_to() {
        let keys = json!({
            "vip": "203.0.113.10", "wieght": 1, "fail_open": 5,
            "health": { "type": "http", "interval": "1", "send": "x" },
            "backend": [{ "address": "10.0.0.1:80" }, { "address": "10.0.0.2:80", "weight": 70000 }],
        });
        let keys = keys.as_object().expect("one");
        let error = service("web", keys, &Policy::default()).expect_err("wrong");
        let faults = error.downcast_ref::<Diagnostics>().expect("diagnostics").keys();
        let mut pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        pointers.sort_unstable();
        let expected = [
            "#/backends/1/weight",
            "#/fail_open",
            "#/health/interval",
            "#/health/send",
            "#/vip",
            "#/wieght",
        ];
        assert_eq!(pointers, expected, "{faults:?}");
        assert!(faults.iter().any(|fault| fault.detail.contains(", `backends`")), "{faults:?}");
        let is_plain = |text: &str| !text.is_empty() && !text.contains("invalid type");
        assert!(faults.iter().all(|fault| is_plain(&fault.detail)), "{faults:?}");
    }
}
