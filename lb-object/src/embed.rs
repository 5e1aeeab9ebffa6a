//! Objects for a crate that embeds them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{OVERRIDE, Objects, file_name};

/// Copies every object to `OUT_DIR`, for the build script of a crate of the workspace at `root`.
/// Prints errors and what to watch for changes, as cargo reads it.
pub fn embed(root: &str) {
    if let Err(error) = try_embed(Path::new(root)) {
        println!("cargo::error={error:#}");
    }
}

fn try_embed(root: &Path) -> Result<()> {
    let objects = Objects::new(root);
    let from = directory(root, &objects)?;
    let to = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    for program in objects.programs()? {
        let file = file_name(&program.name);
        let object = from.join(&file);
        println!("cargo::rerun-if-changed={}", object.display());
        fs::copy(&object, to.join(&file))
            .with_context(|| format!("cannot read the eBPF object {}", object.display()))?;
    }
    Ok(())
}

/// The directory that [`OVERRIDE`] names, from the workspace's root, else that of the committed objects.
fn directory(root: &Path, objects: &Objects) -> Result<PathBuf> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    for source in objects.sources() {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    println!("cargo::rerun-if-changed={}", objects.directory().display());

    if let Some(directory) = env::var_os(OVERRIDE) {
        return Ok(root.join(directory));
    }
    if objects.are_current()? {
        return Ok(objects.directory());
    }
    bail!(
        "the eBPF sources differ from those that lb-ebpf/object was built from: \
         run `cargo xtask build`"
    )
}
