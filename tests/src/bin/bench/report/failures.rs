use anyhow::{Result, ensure};
use serde::Serialize;

/// Measurements that failed, and the reasons.
#[derive(Default, Serialize)]
pub struct Failures(Vec<String>);

impl Failures {
    /// Records a failure, and prints it at once.
    pub fn add(&mut self, error: &anyhow::Error) {
        let what = format!("{error:#}");
        eprintln!("error: {what}");
        self.0.push(what);
    }

    /// Fails if a measurement has failed.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "not measured: {}", self.0.join("; "));
        Ok(())
    }
}
