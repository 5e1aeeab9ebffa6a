//! Outcome of a change.

use jiff::Timestamp;
use lb_model::views::{Plan, Step};
use serde::Serialize;

use super::{
    args::Output,
    exit::Failure,
    output::{print_error, print_json, print_line},
};

/// Steps of a change, or of a dry run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    changed: bool,
    dry_run: bool,
    /// Version of the document after the change.
    version: u64,
    steps: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Reason why the running daemon cannot apply the change.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// End of draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
}

impl Outcome {
    pub(super) fn of(version: u64, steps: Vec<Step>) -> Self {
        Self { changed: !steps.is_empty(), version, steps, ..Self::default() }
    }

    pub(super) fn in_dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Adds warnings of the file itself before those of its effects.
    pub(super) fn warning(self, mut warnings: Vec<String>) -> Self {
        warnings.extend(self.warnings);
        Self { warnings, ..self }
    }

    pub(super) fn until(self, until: Option<Timestamp>) -> Self {
        Self { until, ..self }
    }

    /// Returns true if the running daemon cannot do it.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Adds the outcome of a later change.
    pub(super) fn and(mut self, later: Self) -> Self {
        self.steps.extend(later.steps);
        self.warnings.extend(later.warnings);
        Self { changed: self.changed || later.changed, version: later.version, ..self }
    }

    /// Prints a JSON document, or warnings and, in a dry run, the steps.
    pub(super) fn print(&self, output: Output) -> Result<(), Failure> {
        if output.is_json() {
            return Ok(print_json(self)?);
        }
        for warning in &self.warnings {
            print_error(format_args!("warning: {warning}"));
        }
        if let Some(refused) = &self.refused {
            print_error(format_args!("xdplb: `apply` would be refused: {refused}"));
        }
        if self.dry_run {
            self.print_steps()?;
        }
        Ok(())
    }

    /// Prints the steps like `diff`.
    pub(super) fn print_steps(&self) -> Result<(), Failure> {
        self.steps.iter().try_for_each(|step| print_line(&step.to_string()))?;
        if self.steps.is_empty() {
            print_line(&format!("no differences from version {}", self.version))?;
        }
        Ok(())
    }
}

impl From<lb_client::Changed> for Outcome {
    fn from(lb_client::Changed { version, service }: lb_client::Changed) -> Self {
        let warnings = service.warnings.iter();
        let warnings = warnings.map(|warning| format!("{}: {warning}", service.name)).collect();
        Self { warnings, ..Self::of(version, service.steps) }
    }
}

impl From<Plan> for Outcome {
    fn from(Plan { version, steps, refused, warnings }: Plan) -> Self {
        let outcome = Self::of(version, steps);
        let changed = outcome.changed && refused.is_none();
        Self { changed, warnings, refused, ..outcome }
    }
}
