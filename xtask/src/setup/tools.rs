//! Where the programs are kept that we build for ourselves.

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};

/// A place that outlasts the workspace: bpf-linker loads LLVM by a path below it.
pub(super) fn prefix() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => env::home_dir().context("no home directory: set HOME")?.join(".cache"),
    };
    Ok(cache.join("xdplb"))
}

/// The directory of their binaries.
pub(super) fn directory() -> Result<PathBuf> {
    Ok(prefix()?.join("bin"))
}
