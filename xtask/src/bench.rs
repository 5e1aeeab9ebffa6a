//! `cargo xtask bench`: measure xdplb and its peers.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    build, exec,
    setup::{self, Group},
    workspace,
};

/// Measure the packet path, and compare xdplb with its peers (needs root)
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Passed on to the benchmark: `--quick`, `--only PARTS`, `-o json`, `--out DIR`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    setup::ensure(Group::Forwarding)?;
    build::xdplb()?;
    exec::run(
        workspace::cargo()
            .args(["run", "--quiet", "--release", "--package", "lb-tests"])
            .args(["--bin", "bench", "--"])
            .args(&arguments.arguments),
    )
}
