//! Errors of parsers as sentences that name the key and the fix.

use strsim::jaro_winkler;

use lb_model::KeyFault;

/// Minimum similarity, of 1, of a mistyped key to a known one.
const LIKENESS: f64 = 0.75;

/// Maximum length of a value that is repeated, in bytes.
const LONGEST: usize = 60;

/// Fixes of query parameters.
const PARAMETERS: [(&str, &str); 7] = [
    ("backend", "write ADDRESS:PORT, as in 10.0.0.11:80"),
    ("idle_over", "write a duration, as in 500ms or 2h"),
    ("limit", "give a whole number of at least 0"),
    ("sort", "give age or idle"),
    ("reverse", "give true or false"),
    ("force", "give true or false"),
    ("dry_run", "give true or false"),
];

/// Returns the fault of a body, by the path of keys to it and serde's error.
pub(super) fn of_body(mut path: Vec<String>, error: &str) -> KeyFault {
    let named = ["unknown field `", "missing field `", "duplicate field `", "the key `"];
    if let Some(key) = named.iter().find_map(|start| key_after(start, error))
        && path.last() != Some(&key)
    {
        path.push(key);
    }
    let name = path.iter().rev().find(|key| key.parse::<usize>().is_err());
    let name = name.map_or_else(|| "the body".to_owned(), |key| format!("`{key}`"));
    KeyFault::at(&path, of_key(&name, error))
}

/// Returns a sentence on a query parameter.
pub(super) fn of_query(error: &str) -> String {
    let (key, message) = error.split_once(": ").unwrap_or(("", error));
    if let Some((key, fix)) = PARAMETERS.iter().find(|(known, _)| *known == key) {
        return format!("`{key}` in the query is invalid: {fix}");
    }
    let is_key = !key.is_empty() && !key.contains(char::is_whitespace);
    if is_key { of_key(&format!("`{key}`"), message) } else { of_key("the query", error) }
}

/// Returns a sentence on a part of the path.
pub(super) fn of_path(key: &str, value: &str, fix: &str) -> String {
    format!("`{key}` in the path is `{value}`: {fix}")
}

fn of_key(name: &str, error: &str) -> String {
    if let Some(key) = key_after("unknown field `", error) {
        return unknown(&key, error);
    }
    if let Some(key) = key_after("missing field `", error) {
        return format!("`{key}` is missing: add it");
    }
    if let Some(key) =
        key_after("duplicate field `", error).or_else(|| key_after("the key `", error))
    {
        return format!("the key `{key}` is given twice: give it once");
    }
    if let Some((value, words)) = split(error, "unknown variant `", "`, expected ") {
        return format!("{name} is \"{value}\": give {words}");
    }
    let wrong = ["invalid type: ", "invalid value: "];
    match wrong.iter().find_map(|start| split(error, start, ", expected ")) {
        Some((value, kind)) => format!("{name} is {}: give {}", shown(value), wanted(kind)),
        None if error.contains(name.trim_matches('`')) => error.to_owned(),
        None => format!("{name}: {error}"),
    }
}

fn unknown(key: &str, error: &str) -> String {
    let known: Vec<_> = error.split('`').skip(3).step_by(2).collect();
    let alike = known.iter().map(|word| (jaro_winkler(key, word), word));
    let alike = alike.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(alike, _)| *alike > LIKENESS);
    match alike {
        Some((_, word)) => format!("unknown key `{key}`: did you mean `{word}`?"),
        None if known.is_empty() => format!("unknown key `{key}`: remove it"),
        None => format!("unknown key `{key}`: remove it, or use one of `{}`", known.join("`, `")),
    }
}

/// Returns the key in backticks after the start of an error.
fn key_after(start: &str, error: &str) -> Option<String> {
    let (key, _) = error.strip_prefix(start)?.split_once('`')?;
    Some(key.to_owned())
}

/// Returns the parts of an error between its start and the last separator, and after it.
fn split<'a>(error: &'a str, start: &str, separator: &str) -> Option<(&'a str, &'a str)> {
    error.strip_prefix(start)?.rsplit_once(separator)
}

/// Formats a value, as in `string "x"`, as in JSON.
fn shown(value: &str) -> &str {
    match value {
        "map" => "an object",
        "sequence" => "a list",
        "unit value" | "Option value" => "null",
        text if text.len() > LONGEST => "a long text",
        text => text.strip_prefix("string ").or_else(|| text.split('`').nth(1)).unwrap_or(text),
    }
}

/// Translates a type that serde expects.
fn wanted(kind: &str) -> &str {
    match kind {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u16" => "a whole number from 0 to 65535",
        "u8" | "u32" | "u64" | "usize" => "a whole number of at least 0",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "str" | "a borrowed string" | "path string" => "a string",
        "string or map" => "one of its words in quotes",
        kind if kind.starts_with("enum ") => "one of its words in quotes",
        kind if kind.starts_with("struct ") || kind == "a map" => "a JSON object",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_serde_name_the_key_and_the_fix() {
        for (path, error, pointer, detail) in [
            (
                &["weight"][..],
                "invalid type: string \"x\", expected i64",
                "#/weight",
                "`weight` is \"x\": give a whole number",
            ),
            (
                &["version"],
                "invalid value: integer `-1`, expected u64",
                "#/version",
                "`version` is -1: give a whole number of at least 0",
            ),
            (
                &["backup"],
                "invalid type: sequence, expected a boolean",
                "#/backup",
                "`backup` is a list: give true or false",
            ),
            (
                &["admin"],
                "unknown variant `asleep`, expected one of `enabled`, `draining`",
                "#/admin",
                "`admin` is \"asleep\": give one of `enabled`, `draining`",
            ),
            (&[], "missing field `path`", "#/path", "`path` is missing: add it"),
            (
                &[],
                "unknown field `wieght`, expected `address` or `weight`",
                "#/wieght",
                "unknown key `wieght`: did you mean `weight`?",
            ),
            (
                &["x/y"],
                "unknown field `x/y`, expected `address`",
                "#/x~1y",
                "unknown key `x/y`: remove it, or use one of `address`",
            ),
            (
                &["b", "0"],
                "the key `c` is given twice",
                "#/b/0/c",
                "the key `c` is given twice: give it once",
            ),
            (
                &["address"],
                "10 has no port: add one",
                "#/address",
                "`address`: 10 has no port: add one",
            ),
            (
                &["weight"],
                "weight 70000 is out of range",
                "#/weight",
                "weight 70000 is out of range",
            ),
            (
                &[],
                "invalid type: sequence, expected a JSON object",
                "#",
                "the body is a list: give a JSON object",
            ),
        ] {
            let path = path.iter().map(|key| (*key).to_owned()).collect();
            let fault = of_body(path, error);
            assert_eq!((fault.pointer.as_str(), fault.detail.as_str()), (pointer, detail));
        }
    }

    #[test]
    fn errors_of_queries_name_the_parameter_and_the_fix() {
        for (error, expected) in [
            (
                "limit: invalid digit found in string",
                "`limit` in the query is invalid: give a whole number of at least 0",
            ),
            (
                "unknown field `clint`, expected one of `client`, `state`",
                "unknown key `clint`: did you mean `client`?",
            ),
            (
                "state: `open` is not a state: write one of x",
                "`open` is not a state: write one of x",
            ),
            (
                "dry-run: unknown field `dry-run`, expected `force` or `dry_run`",
                "unknown key `dry-run`: did you mean `dry_run`?",
            ),
            ("duplicate field `limit`", "the key `limit` is given twice: give it once"),
        ] {
            assert_eq!(of_query(error), expected);
        }
    }

    #[test]
    fn a_long_value_is_not_repeated() {
        let error = format!("invalid type: string \"{}\", expected i64", "x".repeat(100));
        let fault = of_body(vec!["weight".to_owned()], &error);
        assert_eq!(fault.detail, "`weight` is a long text: give a whole number");
    }
}
