//! A balancer of a testbed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{bpffs::BpfFs, directory, namespace::Namespace};

/// A balancer's namespace, with a BPF file system and a directory of its own.
#[derive(Debug)]
pub struct Node {
    namespace: Namespace,
    bpffs: BpfFs,
    directory: PathBuf,
}

impl Node {
    /// Creates a node of a testbed, whose directory exists.
    pub(super) fn create(prefix: &str, name: &str) -> Result<Self> {
        Ok(Self {
            bpffs: BpfFs::mount(&directory::bpffs(prefix, name))?,
            directory: directory::of_node(prefix, name)?,
            namespace: Namespace::create(&format!("{prefix}-{name}"))?,
        })
    }

    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the mount point of its BPF file system.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        self.bpffs.path()
    }

    /// Returns the directory of its sockets and configurations, removed with the testbed.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
