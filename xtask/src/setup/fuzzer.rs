//! cargo-fuzz, which builds and runs the fuzz targets.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::tools;
use crate::{exec, steps::say, workspace};

const VERSION: &str = "0.13.2";

/// Returns the path of its binary, and first builds it if missing.
pub(crate) fn ensure() -> Result<PathBuf> {
    let binary = tools::directory()?.join("cargo-fuzz");
    let version = exec::output(Command::new(&binary).args(["fuzz", "--version"]));
    if version.is_ok_and(|version| version.contains(VERSION)) {
        return Ok(binary);
    }
    say(format_args!("Building cargo-fuzz {VERSION} in {}", tools::prefix()?.display()));
    // Unoptimized: it only starts the fuzzers.
    exec::run(
        workspace::cargo()
            .args(["install", "cargo-fuzz", "--version", VERSION, "--locked", "--debug", "--root"])
            .arg(tools::prefix()?)
            .env("CARGO_PROFILE_DEV_DEBUG", "0"),
    )?;
    Ok(binary)
}

/// Returns true if there is a C++ compiler, which libFuzzer needs.
pub(crate) fn has_compiler() -> bool {
    ["c++", "clang++", "g++"].into_iter().any(|compiler| exec::find(compiler).is_some())
}
