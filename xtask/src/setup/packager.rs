//! cargo-deb, which makes the Debian package.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::tools;
use crate::{exec, steps::say, workspace};

const VERSION: &str = "3.8.0";

/// Returns the path of its binary, and first builds it if missing.
pub(crate) fn ensure() -> Result<PathBuf> {
    let binary = tools::directory()?.join("cargo-deb");
    let version = exec::output(Command::new(&binary).arg("--version"));
    if version.is_ok_and(|version| version.contains(VERSION)) {
        return Ok(binary);
    }
    say(format_args!("Building cargo-deb {VERSION} in {}", tools::prefix()?.display()));
    // Unoptimized: it runs for seconds.
    exec::run(
        workspace::cargo()
            .args(["install", "cargo-deb", "--version", VERSION, "--locked", "--debug", "--root"])
            .arg(tools::prefix()?)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )?;
    Ok(binary)
}
