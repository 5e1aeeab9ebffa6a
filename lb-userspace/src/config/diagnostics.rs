//! What is wrong with a configuration: file, line, column, the text itself, and the mend.

use std::{fmt, io, ops::Range, path::Path};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::Source;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Diagnostic {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) mend: String,
    pub(super) is_error: bool,
    /// What could not be read because of this.
    pub(super) left_out: Option<LeftOut>,
}

/// A key that a table has, if nothing of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Where the table stands.
    pub(super) owner: Range<usize>,
    pub(super) key: String,
}

/// All that is wrong.
pub(super) type Findings = Vec<Diagnostic>;

/// Rendered diagnostics, ready to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(String);

impl Diagnostic {
    pub(super) fn error(
        span: Range<usize>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { span, message: message.into(), mend: mend.into(), is_error: true, left_out: None }
    }

    pub(super) fn warning(
        span: Range<usize>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { is_error: false, ..Self::error(span, message, mend) }
    }

    fn render(&self, source: &Source) -> String {
        let level = if self.is_error { Level::ERROR } else { Level::WARNING };
        let span = self.span.start.min(source.text.len())..self.span.end.min(source.text.len());
        let snippet = Snippet::source(source.text.as_str())
            .path(source.path.as_str())
            .annotation(AnnotationKind::Primary.span(span));
        let mut group = level.primary_title(self.message.as_str()).element(snippet);
        if !self.mend.is_empty() {
            group = group.element(Level::HELP.message(self.mend.as_str()));
        }
        Renderer::plain().render(&[group])
    }
}

impl Diagnostics {
    /// Of a file that has no text to show.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self(format!("error: cannot read {}: {error}", path.display()))
    }

    pub(super) fn new(source: &Source, diagnostics: &[Diagnostic]) -> Self {
        let rendered: Vec<_> = diagnostics.iter().map(|one| one.render(source)).collect();
        Self(rendered.join("\n\n"))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Diagnostics {}
