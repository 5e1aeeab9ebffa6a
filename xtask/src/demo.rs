//! `cargo xtask demo`: build xdplb and watch it balance.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{build, workspace};

/// Build xdplb and run its demo (needs root)
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to `xdplb demo`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    build::xdplb()?;
    let binary = workspace::xdplb()?;
    let error = Command::new(&binary).arg("demo").args(&arguments.arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", binary.display()))
}
