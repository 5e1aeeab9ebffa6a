//! Directories of the programs that we build for ourselves.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

/// Returns a directory that outlives the workspace: bpf-linker loads LLVM by a path below it.
pub(super) fn prefix() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => env::home_dir().context("no home directory: set HOME")?.join(".cache"),
    };
    Ok(cache.join("xdplb"))
}

/// Returns the directory of their binaries.
pub(super) fn directory() -> Result<PathBuf> {
    Ok(prefix()?.join("bin"))
}
