//! Findings.

use std::fmt::Display;

use serde::Serialize;

use super::{check::Check, facts::Seen};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not work.
    Problem,
    /// Something is slow, fragile or soon exhausted.
    Warning,
    /// Good to know.
    Note,
    /// It could not be checked.
    NotChecked,
}

impl Severity {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Problem => "problem",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::NotChecked => "not checked",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub id: &'static str,
    pub severity: Severity,
    /// What is concerned, such as an interface.
    pub subject: String,
    /// What is wrong, or the reason why it was not checked.
    pub message: String,
    /// Command or key that fixes it.
    pub fix: String,
}

/// Result of all checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Number of checks carried out.
    pub checks: usize,
}

impl Report {
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|one| one.severity == severity).count()
    }

    /// Returns true if there are problems or warnings.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.count(Severity::Problem) + self.count(Severity::Warning) > 0
    }

    /// Carries a check out.
    pub(crate) fn carry_out(&mut self, check: &Check, find: impl FnOnce(&mut Cases<'_>)) {
        let before = self.count(Severity::NotChecked);
        find(&mut Cases { check, findings: &mut self.findings });
        if self.count(Severity::NotChecked) == before {
            self.checks += 1;
        }
    }
}

/// What one check finds.
pub(crate) struct Cases<'a> {
    check: &'a Check,
    findings: &'a mut Vec<Finding>,
}

impl Cases<'_> {
    pub(crate) fn add(
        &mut self,
        subject: impl Display,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(self.check.severity, subject, message.into(), fix.into());
    }

    /// Returns a fact, or adds that it was not seen.
    pub(crate) fn seen<'f, T>(
        &mut self,
        subject: impl Display,
        fact: &'f Seen<T>,
    ) -> Option<&'f T> {
        fact.as_ref().inspect_err(|reason| self.skip(subject, reason)).ok()
    }

    /// Adds that something was not checked.
    pub(crate) fn skip(&mut self, subject: impl Display, reason: &str) {
        self.push(Severity::NotChecked, subject, reason.to_owned(), String::new());
    }

    fn push(&mut self, severity: Severity, subject: impl Display, message: String, fix: String) {
        let (id, subject) = (self.check.id, subject.to_string());
        self.findings.push(Finding { id, severity, subject, message, fix });
    }
}

/// Returns the findings of a check's function.
#[cfg(test)]
pub(crate) fn found<T>(facts: &T, find: fn(&T, &mut Cases<'_>)) -> Vec<Finding> {
    let check = super::check::all().next().expect("a check");
    let mut findings = Vec::new();
    find(facts, &mut Cases { check, findings: &mut findings });
    findings
}
