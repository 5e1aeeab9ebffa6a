//! Paths of the workspace: its root, its target directory, its cargo.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in its workspace")
}

/// Returns the target directory, by the path of this program: `<target>/debug/xtask`.
pub(crate) fn target() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where xtask was built")?;
    let target = own.ancestors().nth(2);
    Ok(target.context("xtask was not built by cargo")?.to_owned())
}

/// Returns the path of the release binary of xdplb.
pub(crate) fn xdplb() -> Result<PathBuf> {
    Ok(target()?.join("release/xdplb"))
}

/// Returns the directory of the release binary's references.
pub(crate) fn documents() -> Result<PathBuf> {
    Ok(target()?.join("release/documents"))
}

/// Returns a command for the cargo that runs us, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
