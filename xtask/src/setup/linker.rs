//! bpf-linker, built against the LLVM of Debian's rustc.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::tools;
use crate::{exec, steps::say, workspace};

const VERSION: &str = "0.13.0";
/// The LLVM version of the linker: at least rustc's, or it cannot read rustc's bitcode.
pub(super) const LLVM: u32 = 22;

pub(super) fn is_installed() -> Result<bool> {
    let Ok(version) =
        exec::output(Command::new(tools::directory()?.join("bpf-linker")).arg("--version"))
    else {
        return Ok(false);
    };
    Ok(version.trim() == format!("bpf-linker {VERSION}"))
}

/// Builds the linker, after announcing it.
pub(super) fn install() -> Result<()> {
    let prefix = tools::prefix()?;
    say(format_args!("Building bpf-linker {VERSION} in {}", prefix.display()));
    let llvm = llvm_prefix(&prefix)?;
    exec::run(
        workspace::cargo()
            .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
            .args(["--no-default-features", "--features"])
            .arg(format!("llvm-{LLVM}"))
            .arg("--root")
            .arg(&prefix)
            .env("LLVM_PREFIX", llvm)
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0"),
    )
}

/// Makes a directory that passes for LLVM's prefix in the linker's build, so that Debian's
/// development package of LLVM (a quarter of a gigabyte installed) is not needed.
fn llvm_prefix(prefix: &Path) -> Result<PathBuf> {
    let llvm = prefix.join(format!("llvm-{LLVM}"));
    let link = llvm.join("lib/libLLVM.so");
    fs::create_dir_all(llvm.join("lib"))
        .with_context(|| format!("cannot create {}", llvm.display()))?;
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    symlink(library()?, &link).with_context(|| format!("cannot create {}", link.display()))?;
    Ok(llvm)
}

/// Returns the shared library of Debian's `libllvm` package.
fn library() -> Result<PathBuf> {
    let package = format!("libllvm{LLVM}");
    let files = exec::output(Command::new("dpkg-query").args(["--listfiles", &package]))?;
    let name = format!("/libLLVM.so.{LLVM}.");
    let Some(library) = files.lines().find(|file| file.contains(&name)) else {
        bail!("the package {package} holds no libLLVM.so.{LLVM}");
    };
    Ok(PathBuf::from(library))
}
