//! Errors and warnings of a configuration: file, line, column, excerpt and fix.

use std::{collections::HashSet, fmt, io, iter, ops::Range, path::Path};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use lb_model::{KeyFault, more_errors, secrets};

use nix::unistd::geteuid;

use serde::Serialize;

use super::{Source, pointer::Keys, text::shown_path};
use lb_host::{accounts, printable};

/// Maximum number of findings shown.
pub(super) const MOST_SHOWN: usize = 100;

/// Maximum length of a line that is shown, in bytes.
const LONGEST_LINE: usize = 500;

/// An error or a warning, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) fix: String,
    pub(super) is_error: bool,
    /// False if the file does not contain the setting: the span is not shown.
    pub(super) is_placed: bool,
    /// Key that could not be read because of this.
    pub(super) left_out: Option<LeftOut>,
}

/// A key of a table with an unusable value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LeftOut {
    /// Span of the table.
    pub(super) owner: Range<usize>,
    pub(super) key: String,
}

/// All errors and warnings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Diagnostic>,
    /// Places and messages, as the parser may report an error more than once.
    known: HashSet<(Range<usize>, String)>,
    left_out: HashSet<LeftOut>,
    /// Starts of tables with syntax errors, which may hide keys.
    garbled: HashSet<usize>,
    /// True if the rest of the file was not read.
    pub(super) is_cut_short: bool,
}

/// Rendered diagnostics, ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    rendered: String,
    summary: String,
    /// Errors by key, if the text was not a file.
    keys: Vec<KeyFault>,
    /// The first ones.
    findings: Vec<Finding>,
    /// Number of all findings.
    total: usize,
}

/// An error or a warning, for JSON output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub file: String,
    /// Absent if the file does not contain the setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// In characters, starting at 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Dotted, such as `service.0.health.interval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub message: String,
    /// Instruction to fix it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Error,
    Warning,
}

/// A text with the offsets of its lines.
struct Excerpts<'a> {
    source: &'a Source,
    path: String,
    lines: Vec<usize>,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Diagnostic) {
        self.left_out.extend(finding.left_out.clone());
        if self.known.insert((finding.span.clone(), finding.message.clone())) {
            self.all.push(finding);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.all.iter()
    }

    /// Returns true if a table is known to have an unusable value of this key.
    pub(super) fn have_left_out(&self, key: &LeftOut) -> bool {
        self.left_out.contains(key)
    }

    /// Returns true if a table is known to have any unusable key.
    pub(super) fn have_left_out_of(&self, table: &Range<usize>) -> bool {
        self.left_out.iter().any(|left_out| left_out.owner == *table)
    }

    /// Notes the start of a table with a syntax error.
    pub(super) fn note_garbled(&mut self, table: usize) {
        self.garbled.insert(table);
    }

    /// Returns true if a table has syntax errors, by its start.
    pub(super) fn have_garbled(&self, table: usize) -> bool {
        self.garbled.contains(&table)
    }

    /// Returns true if a key could not be read in any table.
    pub(super) fn have_left_out_any(&self, key: &str) -> bool {
        self.left_out.iter().any(|left_out| left_out.key == key)
    }

    /// Returns errors and warnings, each in the order of the text.
    pub(super) fn into_errors_and_warnings(mut self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.all.sort_by_key(|finding| finding.span.start);
        self.all.into_iter().partition(|finding| finding.is_error)
    }
}

impl Diagnostic {
    pub(super) fn error(
        span: Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (message, fix) = (message.into(), fix.into());
        Self { span, message, fix, is_error: true, is_placed: true, left_out: None }
    }

    /// Marks the finding as one of a setting that the file does not contain.
    pub(super) fn without_place(self) -> Self {
        Self { is_placed: false, ..self }
    }

    pub(super) fn warning(
        span: Range<usize>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { is_error: false, ..Self::error(span, message, fix) }
    }
}

impl Diagnostics {
    /// Creates the diagnostics of an unreadable file.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        let path = shown_path(path);
        let path = printable::line(&path);
        let fix = if error.kind() == io::ErrorKind::PermissionDenied {
            let user = geteuid().as_raw();
            let user = accounts::user(user).unwrap_or_else(|| user.to_string());
            let word = printable::word(&path);
            format!(
                "\n  = help: xdplb runs as user {user}, who may not read the file or search its \
                 directory: make that user its owner and only reader: chown {user} {word}; chmod \
                 0400 {word}"
            )
        } else {
            String::new()
        };
        let summary = format!("cannot read {path}: {error}");
        let finding = Finding {
            severity: Severity::Error,
            file: path.into_owned(),
            line: None,
            column: None,
            key: None,
            message: format!("cannot be read: {error}"),
            fix: String::new(),
        };
        let rendered = format!("error: {summary}{fix}");
        Self { rendered, summary, keys: Vec::new(), findings: vec![finding], total: 1 }
    }

    /// Renders the first findings and the number of the others.
    pub(super) fn new(source: &Source, diagnostics: &[Diagnostic], is_cut_short: bool) -> Self {
        let excerpts = Excerpts::of(source);
        let shown = diagnostics.iter().take(MOST_SHOWN).map(|one| excerpts.render(one));
        let unseen = diagnostics.len().saturating_sub(MOST_SHOWN);
        let more = match (unseen, is_cut_short) {
            (0, false) => None,
            (0, true) => Some("and possibly more: fix these first".to_owned()),
            (unseen, false) => Some(format!("and {}: fix these first", more_errors(unseen))),
            (unseen, true) => {
                Some(format!("and at least {}: fix these first", more_errors(unseen)))
            }
        };
        let rendered = shown.chain(more).collect::<Vec<_>>().join("\n\n");
        let first = diagnostics.first().map(|one| excerpts.summary(one)).unwrap_or_default();
        let summary = match diagnostics.len() {
            0 | 1 => first,
            all => format!("{first} ({})", more_errors(all - 1)),
        };
        let findings = excerpts.findings(diagnostics.iter().take(MOST_SHOWN));
        let total = diagnostics.len();
        Self { rendered, summary, keys: Vec::new(), findings, total }
    }

    /// Renders each of the first findings separately.
    pub(super) fn each(source: &Source, diagnostics: &[Diagnostic]) -> Vec<Self> {
        let excerpts = Excerpts::of(source);
        let each = |one: &Diagnostic| Self {
            rendered: excerpts.render(one),
            summary: excerpts.summary(one),
            keys: Vec::new(),
            findings: excerpts.findings(std::iter::once(one)),
            total: 1,
        };
        diagnostics.iter().take(MOST_SHOWN).map(each).collect()
    }

    /// Adds the errors by key, for a text that was generated from JSON.
    pub(super) fn with_keys(self, keys: Vec<KeyFault>) -> Self {
        Self { keys, ..self }
    }

    /// Returns the first findings.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    #[must_use]
    pub fn keys(&self) -> &[KeyFault] {
        &self.keys
    }

    /// Returns the first finding with its fix and the number of others, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let first = self.findings.first().map(Finding::to_string).unwrap_or_default();
        match self.total {
            0 | 1 => first,
            total => format!("{first} ({})", more_errors(total - 1)),
        }
    }

    /// Returns the first finding in one line, without text of the file, as the line may be seen by
    /// users who may not read the file.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

impl<'a> Excerpts<'a> {
    fn of(source: &'a Source) -> Self {
        let path = printable::line(&source.path).into_owned();
        Self { source, path, lines: line_starts(&source.text) }
    }

    /// Renders a finding with its first line, or only its place if that line is too long.
    fn render(&self, finding: &Diagnostic) -> String {
        let level = if finding.is_error { Level::ERROR } else { Level::WARNING };
        let title = printable::line(&finding.message);
        let group = level.primary_title(title);
        let (number, line) = self.line(finding.span.start);
        let text = &self.source.text[line.clone()];
        let start = finding.span.start.clamp(line.start, line.end) - line.start;
        let end = finding.span.end.clamp(line.start, line.end) - line.start;
        let mut group = if !finding.is_placed {
            group.element(Origin::path(self.path.as_str()))
        } else if text.len() > LONGEST_LINE {
            let column = text[..text.floor_char_boundary(start)].chars().count() + 1;
            group.element(Origin::path(self.path.as_str()).line(number).char_column(column))
        } else {
            let annotation = AnnotationKind::Primary.span(start..end.max(start));
            let snippet = Snippet::source(text).line_start(number).path(self.path.as_str());
            group.element(snippet.annotation(annotation))
        };
        let fix = printable::line(&finding.fix);
        if !fix.is_empty() {
            group = group.element(Level::HELP.message(fix));
        }
        Renderer::plain().render(&[group])
    }

    /// Returns place and message of a finding; no message on a secret, which it may quote.
    fn summary(&self, finding: &Diagnostic) -> String {
        let (number, line) = self.line(finding.span.start);
        let message = match printable::line(&finding.message) {
            _ if finding.is_placed && has_secret(&self.source.text[line]) => {
                "the line with a secret is invalid".into()
            }
            message => message,
        };
        let path = &self.path;
        if finding.is_placed {
            format!("{path}:{number}: {message}")
        } else {
            format!("{path}: {message}")
        }
    }

    fn findings<'b>(&self, diagnostics: impl Iterator<Item = &'b Diagnostic>) -> Vec<Finding> {
        let keys = Keys::of(&self.source.text);
        diagnostics.map(|one| self.finding(one, &keys)).collect()
    }

    /// Returns a finding, without text of a line with a secret.
    fn finding(&self, finding: &Diagnostic, keys: &Keys<'_>) -> Finding {
        let (number, line) = self.line(finding.span.start);
        let text = &self.source.text[line.clone()];
        let start = finding.span.start.clamp(line.start, line.end) - line.start;
        let column = text[..text.floor_char_boundary(start)].chars().count() + 1;
        let is_secret = finding.is_placed && has_secret(text);
        let message =
            if is_secret { "the line with a secret is invalid" } else { finding.message.as_str() };
        Finding {
            severity: if finding.is_error { Severity::Error } else { Severity::Warning },
            file: self.path.clone(),
            line: finding.is_placed.then_some(number),
            column: finding.is_placed.then_some(column),
            key: keys.at(&finding.span).filter(|_| finding.is_placed),
            message: message.to_owned(),
            fix: finding.fix.clone(),
        }
    }

    /// Returns the number and the range of the line at an offset.
    fn line(&self, at: usize) -> (usize, Range<usize>) {
        let at = at.min(self.source.text.len());
        let number = line_number(&self.lines, at);
        let start = self.lines[number - 1];
        let end = self.lines.get(number).map_or(self.source.text.len(), |next| next - 1);
        (number, start..end)
    }
}

/// Returns true if the line sets a secret key.
pub(super) fn has_secret(line: &str) -> bool {
    let pieces: Vec<_> = line.split('=').collect();
    let before = pieces.split_last().map_or(&[][..], |(_, before)| before);
    before.iter().any(|piece| {
        let key = piece.trim_end_matches(['"', '\'', ' ', '\t']);
        let mut words = key.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.next().is_some_and(secrets::is_secret)
    })
}

/// Returns the offsets of all lines.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// Returns the number of the line at an offset, starting at 1.
pub(super) fn line_number(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at)
}

/// Formats as in `lb.toml:3:5: unknown key: did you mean another one?`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, ": {}", self.fix) }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl std::error::Error for Diagnostics {}
