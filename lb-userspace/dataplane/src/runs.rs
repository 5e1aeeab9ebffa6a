//! How often the program has run, as the kernel counts it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::Xdp;

use super::{Dataplane, load::PROGRAM};

/// Runs of a program while the kernel was told to count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    pub count: u64,
    pub time: Duration,
}

impl Dataplane {
    /// Returns the runs of the usual program.
    pub fn runs(&self) -> Result<Runs> {
        let program = self.ebpf.program(PROGRAM).context("the object has no program")?;
        let program: &Xdp = program.try_into()?;
        let info = program.info()?;
        Ok(Runs { count: info.run_count(), time: info.run_time() })
    }
}
