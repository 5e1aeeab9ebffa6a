//! Parsing of the text into the file's structure, with all syntax and type errors.

use std::{collections::HashSet, ops::Range};

use lb_model::{address, secrets::HIDDEN};
use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::{
    diagnostics::{
        Diagnostic, Findings, LeftOut, MOST_SHOWN, has_secret, line_number, line_starts,
    },
    reference,
};

/// Error of the TOML parser for a value that is not a string in place of an enumerated word.
const WORD_WANTED: &str = "wanted string or table";

/// Maximum number of bytes parsed in search of further errors.
const MOST_READ: usize = 64 << 20;

/// Minimum number of errors to search for in any text.
const LEAST_SHOWN: usize = 3;

/// Minimum similarity, of 1, of a mistyped key to a known one.
const LIKENESS: f64 = 0.75;

/// Reads all valid parts of a text. Invalid parts are removed and become findings.
pub(super) fn read<T: DeserializeOwned>(text: &str, findings: &mut Findings) -> Option<T> {
    if let Ok(whole) = toml::from_str(text) {
        return Some(whole);
    }
    if let Some(json) = json(text) {
        findings.push(json);
        return None;
    }
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let finding = finding(error).of_bare_value(text);
        findings.note_garbled(table_at(text, finding.span.start));
        findings.push(finding);
    }
    let lines = line_starts(text);
    let line = |at| line_number(&lines, at);
    let broken: HashSet<_> = findings.iter().map(|finding| line(finding.span.start)).collect();
    for _ in findings.len()..=rounds(text) {
        let error = match T::deserialize(Deserializer::from(tree.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let place = error.span().unwrap_or_default();
        let root = tree.span();
        let left_out = leave_out(tree.get_mut(), &root, &place);
        if !broken.contains(&line(place.start)) {
            let finding = finding(&error).of_word(left_out.as_ref());
            let finding = finding.of_number(text, left_out.as_ref()).of_table(left_out.as_ref());
            findings.push(Diagnostic { left_out: left_out.clone(), ..finding });
        }
        left_out?;
    }
    findings.is_cut_short = true;
    None
}

/// Returns an error if a text is JSON, such as an export for scripts.
fn json(text: &str) -> Option<Diagnostic> {
    let start = text.len() - text.trim_start().len();
    let is_object = text[start..].starts_with('{');
    let fix = "write the file in TOML, as `xdplb export` does without `-o json`";
    is_object.then(|| Diagnostic::error(start..start + 1, "this is JSON: a file is TOML", fix))
}

/// Returns the start of the table that an offset of a text belongs to: its header, or 0.
fn table_at(text: &str, at: usize) -> usize {
    let before = &text[..text.floor_char_boundary(at)];
    let header = before.rmatch_indices("\n[").next();
    header.map_or(0, |(newline, _)| newline + 1)
}

/// Returns the number of times that a text is parsed, each finding one more error, within a bounded
/// time.
fn rounds(text: &str) -> usize {
    (MOST_READ / text.len().max(1)).clamp(LEAST_SHOWN, MOST_SHOWN)
}

fn finding(error: &Error) -> Diagnostic {
    let (message, expected) =
        error.message().split_once(", expected ").unwrap_or((error.message(), ""));
    let mut fix = match expected {
        "" => String::new(),
        expected => format!("expected {}", in_terms_of_the_file(expected)),
    };
    if let Some(meant) = meant(message, expected) {
        fix = format!("did you mean `{meant}`? {fix}");
    }
    let message = message
        .replace("unknown field", "unknown key")
        .replace("invalid type: map", "invalid type: table")
        .replace("invalid type: sequence", "invalid type: list");
    let message = without_urls(&message);
    Diagnostic::error(error.span().unwrap_or_default(), message, fix)
}

/// Masks quoted URLs, which may contain a secret.
fn without_urls(message: &str) -> String {
    let masked = |piece: &str| if piece.contains("://") { HIDDEN } else { piece }.to_owned();
    let pieces = message.split_inclusive(['`', '"']).map(|piece| {
        let text = piece.trim_end_matches(['`', '"']);
        masked(text) + &piece[text.len()..]
    });
    pieces.collect()
}

impl Diagnostic {
    /// Adds the allowed words, which the TOML parser does not list.
    fn of_word(self, left_out: Option<&LeftOut>) -> Self {
        let Some(LeftOut { key, .. }) = left_out else { return self };
        if self.message != WORD_WANTED {
            let what = if key.is_empty() { "word" } else { key };
            let message = self.message.replace("unknown variant", &format!("unknown {what}"));
            return Self { message, ..self };
        }
        let words: Vec<_> = reference::words(key).iter().map(|one| format!("{one:?}")).collect();
        let fix = format!("expected {}", words.join(" or "));
        Self { message: "this is not a string in quotes".to_owned(), fix, ..self }
    }
}

/// Errors of serde for another value in place of a list, or of a table in a list.
const LIST_WANTED: &str = "expected a list, as in [\"one\", \"another\"]";
const TABLE_WANTED: &str = "expected a table of keys";

impl Diagnostic {
    /// Adds how to write tables in a list.
    fn of_table(self, left_out: Option<&LeftOut>) -> Self {
        let Some(LeftOut { key, .. }) = left_out else { return self };
        let address = self.message.split('"').nth(1).filter(|text| address::read(text).is_ok());
        let table = format!("{{ address = \"{}\" }}", address.unwrap_or("10.0.0.11:80"));
        let fix = match (self.fix.as_str(), key.as_str()) {
            (LIST_WANTED, "notify") => "write `[[notify]]`, one for each".to_owned(),
            (LIST_WANTED, "service") => "write `[[service]]`, one for each".to_owned(),
            (LIST_WANTED, "backend") => {
                format!("write `[[service.backend]]`, one for each, or backend = [{table}]")
            }
            (TABLE_WANTED, "") if address.is_some() => format!("write {table}"),
            _ => return self,
        };
        Self { fix, ..self }
    }

    /// Adds quotes to a value that needs them, such as an address. A secret is not repeated.
    fn of_bare_value(self, text: &str) -> Self {
        let before = &text[..text.floor_char_boundary(self.span.start)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[start..].lines().next().unwrap_or_default();
        let Some((key, value)) = line.split_once('=') else { return self };
        let is_of_value = self.span.start > start + key.len();
        let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
        let is_bare = |c: char| c.is_ascii_alphanumeric() || ".:/_-%".contains(c);
        if !is_of_value || value.is_empty() || !value.chars().all(is_bare) || has_secret(line) {
            return self;
        }
        let fix = format!("quote it: {key} = \"{value}\"");
        Self { message: "this value is not in quotes".to_owned(), fix, ..self }
    }
}

/// Error of serde for a value that is not a number or out of range.
const NUMBER_WANTED: &str = "expected an integer";

impl Diagnostic {
    /// Adds the range of a number.
    fn of_number(self, text: &str, left_out: Option<&LeftOut>) -> Self {
        let Some(LeftOut { key, .. }) = left_out.filter(|_| self.fix == NUMBER_WANTED) else {
            return self;
        };
        let Some((first, last)) = reference::range(key) else { return self };
        let given = text.get(self.span.clone()).unwrap_or_default();
        let is_number = given.replace('_', "").parse::<i128>().is_ok();
        let (fault, how) = if is_number {
            ("is out of range", "")
        } else {
            ("is not a whole number", ", without quotes")
        };
        let fix = format!("`{key}` is {first} to {last}{how}");
        Self { message: format!("{given} {fault}"), fix, ..self }
    }
}

/// Translates the types that serde expects to TOML's terms.
fn in_terms_of_the_file(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list, as in [\"one\", \"another\"]",
        "path string" => "a string",
        "u16" | "u32" | "u64" | "i64" => "an integer",
        expected if expected.starts_with("struct ") => "a table of keys",
        expected => expected,
    }
}

/// Returns the expected word in backticks that is most similar to the unknown one.
fn meant<'a>(message: &str, expected: &'a str) -> Option<&'a str> {
    let (_, said) = message.split_once("unknown ")?;
    let said = said.split('`').nth(1)?;
    let known = expected.split('`').skip(1).step_by(2);
    let likeness = known.map(|word| (strsim::jaro_winkler(said, word), word));
    let (likeness, word) = likeness.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > LIKENESS).then_some(word)
}

/// Removes the innermost key or value at a span from a table.
fn leave_out(
    table: &mut DeTable<'_>,
    owner: &Range<usize>,
    place: &Range<usize>,
) -> Option<LeftOut> {
    for (_, value) in table.iter_mut() {
        if let Some(found) = leave_out_of_value(value, place) {
            return Some(found);
        }
    }
    let is_it =
        |key: &Spanned<_>, value: &Spanned<_>| key.span() == *place || value.span() == *place;
    let (key, _) = table.iter().find(|(key, value)| is_it(key, value))?;
    let key = key.get_ref().to_string();
    table.remove(key.as_str());
    Some(LeftOut { owner: owner.clone(), key })
}

fn leave_out_of_value(value: &mut Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<LeftOut> {
    let owner = value.span();
    match value.get_mut() {
        DeValue::Table(table) => leave_out(table, &owner, place),
        DeValue::Array(array) => {
            if let Some(found) = array.iter_mut().find_map(|one| leave_out_of_value(one, place)) {
                return Some(found);
            }
            let all = array.len();
            *array = array.iter().filter(|one| one.span() != *place).cloned().collect();
            (array.len() < all).then_some(())?;
            Some(LeftOut { owner, key: String::new() })
        }
        _ => None,
    }
}
