//! The toolchains that can build `lb-ebpf`.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use lb_object::Program;

use super::{apt, linker, nightly, tools};
use crate::{exec, workspace};

pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// Debian's rustc has a prebuilt `core` for BPF, so it needs no nightly.
const PACKAGES: [&str; 5] =
    ["cargo-web", "libllvm22", "libstd-rust-web-dev-bpf", "rust-web-clippy", "rustc-web"];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// Debian 12's, which builds the committed objects.
    Pinned,
    /// rustup's nightly, whose objects work but differ in their bytes.
    Nightly,
}

/// Returns the pinned toolchain, and installs it if missing.
pub(crate) fn pinned() -> Result<Toolchain> {
    if !apt::is_debian_12() {
        bail!("only Debian 12 has the toolchain that makes the committed eBPF objects");
    }
    let packages = apt::missing(&PACKAGES);
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    check_llvm()?;
    if !linker::is_installed()? {
        linker::install()?;
    }
    Ok(Toolchain::Pinned)
}

/// Returns the pinned toolchain if available, else rustup's nightly.
pub(crate) fn any() -> Result<Toolchain> {
    if apt::is_debian_12() {
        return pinned();
    }
    let commands = nightly::missing();
    if !commands.is_empty() {
        bail!(
            "building the eBPF objects needs a toolchain that only Debian 12 gets by itself; \
             elsewhere (a way that CI does not test) run: {}",
            commands.join(" && ")
        );
    }
    Ok(Toolchain::Nightly)
}

/// Returns the names of what is missing.
pub(super) fn missing() -> Result<Vec<String>> {
    if !apt::is_debian_12() {
        return Ok(nightly::missing());
    }
    let mut missing: Vec<_> = apt::missing(&PACKAGES).into_iter().map(str::to_owned).collect();
    if !linker::is_installed()? {
        missing.push("bpf-linker".to_owned());
    }
    Ok(missing)
}

impl Toolchain {
    /// Returns the cargo commands that build, or check, these programs of `lb-ebpf`: one for each set of
    /// features.
    pub(crate) fn each_variant(
        self,
        verb: &str,
        programs: &[Program],
        target: &Path,
    ) -> Result<Vec<Command>> {
        let sets: BTreeSet<_> = programs.iter().map(|program| &program.features).collect();
        let of = |features: &Vec<String>| {
            let mut command = self.cargo(verb, programs, target)?;
            command.arg("--features").arg(features.join(","));
            for program in programs.iter().filter(|program| program.features == *features) {
                command.arg("--bin").arg(&program.name);
            }
            Ok(command)
        };
        sets.into_iter().map(of).collect()
    }

    /// Returns a cargo command on programs of `lb-ebpf`, with the profile and flags of their objects.
    fn cargo(self, verb: &str, programs: &[Program], target: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Pinned => pinned_cargo(verb, programs)?,
            Self::Nightly => nightly_cargo(verb),
        };
        command
            .args(["--locked", "--release", "--package", "lb-ebpf"])
            .args(["--target", TARGET, "--target-dir"])
            .arg(target)
            .env("CARGO_ENCODED_RUSTFLAGS", flags()?)
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(workspace::root());
        Ok(command)
    }
}

fn pinned_cargo(verb: &str, programs: &[Program]) -> Result<Command> {
    let unstable = programs.iter().map(|program| program.name.as_str());
    let unstable: Vec<_> = std::iter::once("aya_ebpf").chain(unstable).collect();
    let mut command = Command::new("/usr/bin/cargo");
    command
        .arg(verb)
        .env("PATH", exec::path_after(&[Path::new("/usr/bin"), &tools::directory()?])?)
        .env("RUSTC", "/usr/bin/rustc")
        // The crates that may use unstable features with a stable rustc. "1" would also make them
        // require the sources of `core`.
        .env("RUSTC_BOOTSTRAP", unstable.join(","));
    Ok(command)
}

fn nightly_cargo(verb: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", verb, "-Zbuild-std=core"]);
    command
}

/// Returns rustc's flags, in the form of `CARGO_ENCODED_RUSTFLAGS`.
///
/// The architecture only selects the register layouts of traced programs, which XDP never sees: one
/// object serves every little-endian machine. Version 3 of the instruction set has the atomics that
/// return the old value. Paths are remapped so that the bytes do not depend on the build directory:
/// to paths below a file, which cannot exist, as LLVM copies the source lines that it finds into
/// BTF.
fn flags() -> Result<OsString> {
    let mut flags: Vec<OsString> = [
        r#"--cfg=bpf_target_arch="x86_64""#,
        "-Cdebuginfo=2",
        "-Ctarget-cpu=v3",
        "-Ctarget-feature=+allows-misaligned-mem-access",
        "-Clink-arg=--btf",
    ]
    .map(OsString::from)
    .into();
    let remapped = [(workspace::root(), "/dev/null/xdplb"), (&cargo_home()?, "/dev/null/cargo")];
    for (from, to) in remapped {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    Ok(flags.join("\x1f".as_ref()))
}

fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(env::home_dir().context("no home directory: set HOME")?.join(".cargo")),
    }
}

/// Fails if Debian's rustc has a newer LLVM than the linker.
fn check_llvm() -> Result<()> {
    let rustc = exec::output(Command::new("/usr/bin/rustc").arg("--version").arg("--verbose"))?;
    let llvm = llvm_major(&rustc).context("`/usr/bin/rustc -vV` names no LLVM version")?;
    if llvm != linker::LLVM {
        bail!(
            "Debian's rustc now comes with LLVM {llvm}, but bpf-linker is built against LLVM {}: \
             change LLVM in xtask/src/setup/linker.rs and libllvm in xtask/src/setup/toolchain.rs",
            linker::LLVM
        );
    }
    Ok(())
}

/// Returns the major version of LLVM by `rustc -vV`.
fn llvm_major(rustc: &str) -> Option<u32> {
    let version = rustc.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::llvm_major;

    #[test]
    fn llvm_is_read_from_rustc() {
        assert_eq!(llvm_major("release: 1.96.0\nLLVM version: 22.1.8\n"), Some(22));
        assert_eq!(llvm_major("release: 1.96.0\n"), None);
    }
}
