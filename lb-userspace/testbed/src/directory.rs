//! Directory of a testbed's files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

const BEDS: &str = "/run/xdplb/testbeds";

/// A testbed's directory, removed with its contents on drop.
#[derive(Debug)]
pub(super) struct Directory {
    prefix: String,
    path: PathBuf,
}

impl Directory {
    pub(super) fn create(prefix: &str) -> Result<Self> {
        let path = path(prefix);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { prefix: prefix.to_owned(), path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.prefix) {
            log::warn!("{error:#}");
        }
    }
}

/// Returns the mount point of the BPF file system of a node.
pub(super) fn bpffs(prefix: &str, node: &str) -> PathBuf {
    path(prefix).join(format!("{node}-bpf"))
}

/// Creates the directory of a node's files.
pub(super) fn of_node(prefix: &str, node: &str) -> Result<PathBuf> {
    let path = path(prefix).join(node);
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

pub(super) fn exists(prefix: &str) -> bool {
    path(prefix).exists()
}

/// Removes a testbed's directory, if there is one.
pub(super) fn remove(prefix: &str) -> Result<()> {
    let path = path(prefix);
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn path(prefix: &str) -> PathBuf {
    Path::new(BEDS).join(prefix)
}
