use anyhow::{Result, ensure};
use serde::Serialize;

/// What could not be measured, and why.
#[derive(Default, Serialize)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Notes one, and says so at once.
    pub fn add(&mut self, error: &anyhow::Error) {
        let what = format!("{error:#}");
        eprintln!("error: {what}");
        self.0.push(what);
    }

    /// Whether all was measured.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "not measured: {}", self.0.join("; "));
        Ok(())
    }
}
