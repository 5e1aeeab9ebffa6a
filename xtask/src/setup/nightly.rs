//! The eBPF toolchain for other systems: rustup's nightly.

use std::{path::Path, process::Command};

use crate::exec;

/// Returns the commands that install its missing parts.
pub(super) fn missing() -> Vec<String> {
    let mut commands = Vec::new();
    if !has_sources() {
        commands.push("rustup toolchain install nightly --component rust-src".to_owned());
    }
    if exec::find("bpf-linker").is_none() {
        commands.push("cargo binstall bpf-linker".to_owned());
    }
    commands
}

fn has_sources() -> bool {
    let sysroot = ["run", "nightly", "rustc", "--print", "sysroot"];
    exec::output(Command::new("rustup").args(sysroot)).is_ok_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir()
    })
}
