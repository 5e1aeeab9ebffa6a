//! From text to the file's structure, and everything that is not as it should be there.

use std::{collections::HashSet, ops::Range};

use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::{
    diagnostics::{Diagnostic, Findings, LeftOut, MOST_SHOWN, line_number, line_starts},
    reference,
};

/// What the TOML reader says of a value that is no string where one of several words belongs.
const WORD_WANTED: &str = "wanted string or table";

/// Bytes that are read again in search of mistakes.
const MOST_READ: usize = 64 << 20;

/// Mistakes that are looked for in any text.
const LEAST_SHOWN: usize = 3;

/// How like a known key a mistyped one must be, of 1, to be taken for it.
const LIKENESS: f64 = 0.75;

/// Reads what can be read. What cannot is left out, and a finding.
pub(super) fn read<T: DeserializeOwned>(text: &str, findings: &mut Findings) -> Option<T> {
    if let Ok(whole) = toml::from_str(text) {
        return Some(whole);
    }
    let (mut tree, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        findings.push(finding(error));
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
            let finding = finding.of_number(text, left_out.as_ref());
            findings.push(Diagnostic { left_out: left_out.clone(), ..finding });
        }
        left_out?;
    }
    findings.is_cut_short = true;
    None
}

/// How often a text is read, for one more mistake each time: not for long, however large it is.
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
    let message = message.replace("unknown field", "unknown key");
    Diagnostic::error(error.span().unwrap_or_default(), message, fix)
}

impl Diagnostic {
    /// Of a value that should be a word, says which there are: the TOML reader does not know.
    fn of_word(self, left_out: Option<&LeftOut>) -> Self {
        let Some(LeftOut { key, .. }) = left_out.filter(|_| self.message == WORD_WANTED) else {
            return self;
        };
        let words: Vec<_> = reference::words(key).iter().map(|one| format!("{one:?}")).collect();
        let fix = format!("expected {}", words.join(" or "));
        Self { message: "this is not a string in quotes".to_owned(), fix, ..self }
    }
}

/// What serde says of a value that is no number, or too large or small a one.
const NUMBER_WANTED: &str = "expected an integer";

impl Diagnostic {
    /// Of a value where a number belongs, says the range.
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

/// What serde expects, by the names that TOML has for it.
fn in_terms_of_the_file(expected: &str) -> &str {
    match expected {
        "a sequence" => "a list, as in [\"one\", \"another\"]",
        "path string" => "a string",
        "u16" | "u32" | "u64" | "i64" => "an integer",
        expected if expected.starts_with("struct ") => "a table of keys",
        expected => expected,
    }
}

/// Which of the words in backticks that are expected is most like the one that is not.
fn meant<'a>(message: &str, expected: &'a str) -> Option<&'a str> {
    let (_, said) = message.split_once("unknown ")?;
    let said = said.split('`').nth(1)?;
    let known = expected.split('`').skip(1).step_by(2);
    let likeness = known.map(|word| (strsim::jaro_winkler(said, word), word));
    let (likeness, word) = likeness.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness > LIKENESS).then_some(word)
}

/// Takes the innermost key or value at a place out of a table.
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
