//! axe-core, which tests the accessibility of the status page.

use std::{fs, process::Command};

use anyhow::Result;

use crate::{exec, steps::say, workspace};

const VERSION: &str = "4.14.1";

/// Returns true if it lies where the tests look for it.
pub(super) fn is_there() -> Result<bool> {
    let package = workspace::target()?.join("see/node_modules/axe-core/package.json");
    let package = fs::read_to_string(package).unwrap_or_default();
    Ok(package.contains(&format!("\"version\": \"{VERSION}\"")))
}

/// Installs it below the target directory, if missing.
pub(super) fn ensure() -> Result<()> {
    if is_there()? {
        return Ok(());
    }
    let directory = workspace::target()?.join("see");
    say(format_args!("Installing axe-core {VERSION} in {} by npm", directory.display()));
    fs::create_dir_all(&directory)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--loglevel=error", "--no-save", "--no-audit", "--no-fund", "--prefix"]);
    exec::run(npm.arg(directory).arg(format!("axe-core@{VERSION}")))
}
