use anyhow::{Result, ensure};
use serde::Serialize;

/// Failed measurements, with their reasons.
#[derive(Default, Serialize)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Adds a failure and prints it.
    pub fn add(&mut self, error: &anyhow::Error) {
        let what = format!("{error:#}");
        eprintln!("error: {what}");
        self.0.push(what);
    }

    /// Fails unless everything was measured.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "not measured: {}", self.0.join("; "));
        Ok(())
    }
}
