//! Puts the eBPF objects into `OUT_DIR`, where the crate embeds them from.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lb_object::{OVERRIDE, Objects, file_name};

fn main() {
    if let Err(error) = embed() {
        println!("cargo::error={error:#}");
    }
}

fn embed() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the crate lies outside its workspace")?;
    let objects = Objects::new(root);
    let from = directory(root, &objects)?;
    let to = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
    for program in objects.programs()? {
        let file = file_name(&program);
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
