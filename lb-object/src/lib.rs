//! Paths of the committed eBPF objects of xdplb, and the check that they were built from the
//! sources beside them.
//!
//! The objects are committed so that stable Rust alone builds xdplb. `FINGERPRINT` names the
//! sources that they were built from, so that an object older than its sources is noticed.

mod embed;
mod fingerprint;
mod lock;
mod manifest;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

pub use self::embed::embed;

/// Environment variable with a directory of objects to embed instead of the committed ones, for
/// distributors that build them elsewhere.
pub const OVERRIDE: &str = "XDPLB_EBPF_OBJECT_DIR";

/// A binary of `lb-ebpf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: String,
    /// Cargo features that it is built with.
    pub features: Vec<String>,
}

/// The committed objects of one workspace: `<program>.bpf.o` for each binary of `lb-ebpf`.
pub struct Objects {
    root: PathBuf,
}

impl Objects {
    /// `root` is the directory of the workspace's `Cargo.toml`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.root.join("lb-ebpf/object")
    }

    /// Returns the binaries of `lb-ebpf`, in the order of its manifest.
    pub fn programs(&self) -> Result<Vec<Program>> {
        manifest::binaries(&read(&self.root.join("lb-ebpf/Cargo.toml"))?)
    }

    /// Returns the sources of the objects: files and directories under the workspace's root.
    #[must_use]
    pub fn sources(&self) -> Vec<PathBuf> {
        fingerprint::SOURCES.iter().map(|source| self.root.join(source)).collect()
    }

    /// Returns the sources' SHA-256, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> Result<String> {
        fingerprint::of_sources(&self.root)
    }

    /// Returns true if the committed objects were built from the present sources.
    pub fn are_current(&self) -> Result<bool> {
        Ok(self.recorded()?.as_deref() == Some(self.fingerprint()?.as_str()))
    }

    /// Records that the committed objects were built from the present sources.
    pub fn record(&self) -> Result<()> {
        let path = self.record_path();
        fs::write(&path, self.fingerprint()? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn recorded(&self) -> Result<Option<String>> {
        let path = self.record_path();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    fn record_path(&self) -> PathBuf {
        self.directory().join("FINGERPRINT")
    }
}

/// Returns the file name of a program's object.
#[must_use]
pub fn file_name(program: &str) -> String {
    format!("{program}.bpf.o")
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
