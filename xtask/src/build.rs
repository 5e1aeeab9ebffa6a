//! `cargo xtask build`: the release binary, with eBPF objects that match their sources.

use std::env;

use anyhow::{Result, bail};
use lb_object::{OVERRIDE, Objects};

use crate::{
    exec, objects,
    setup::toolchain::{self, Toolchain},
    steps::say,
    workspace,
};

/// Build `target/release/xdplb`, and first the eBPF objects if their sources changed
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build the eBPF objects only, even if their sources did not change
    #[arg(long)]
    ebpf_only: bool,
    /// Build the eBPF objects elsewhere and compare them with the committed ones
    #[arg(long, conflicts_with = "ebpf_only")]
    check_object: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check_object {
        return check_objects();
    }
    if arguments.ebpf_only {
        return renew_objects();
    }
    xdplb()
}

/// Builds the static release binary.
pub(crate) fn xdplb() -> Result<()> {
    let overridden = env::var_os(OVERRIDE).is_some();
    if !overridden && !Objects::new(workspace::root()).are_current()? {
        say("The eBPF sources changed: rebuilding their objects.");
        renew_objects()?;
    }
    exec::run(
        workspace::cargo()
            .args(["rustc", "--release", "--package", "lb-userspace", "--bin", "xdplb"])
            .args(["--", "-C", "target-feature=+crt-static"]),
    )
}

fn renew_objects() -> Result<()> {
    let toolchain = toolchain::any()?;
    objects::write(&objects::compile(toolchain)?)?;
    if toolchain == Toolchain::Nightly {
        eprintln!(
            "warning: a nightly toolchain built lb-ebpf/object; CI compares it with what Debian's \
             makes, so run `cargo xtask build --ebpf-only` on Debian 12 before you commit it"
        );
    }
    Ok(())
}

/// Fails unless the committed objects are byte for byte the pinned toolchain's output for the
/// sources.
pub(crate) fn check_objects() -> Result<()> {
    if !Objects::new(workspace::root()).are_current()? {
        bail!("lb-ebpf/object is older than its sources: run `cargo xtask build`, then commit it");
    }
    let built = objects::compile(toolchain::pinned()?)?;
    let differing = objects::differing(&built)?;
    if !differing.is_empty() {
        bail!(
            "not what the sources make, in lb-ebpf/object: {}; run `cargo xtask build --ebpf-only`, \
             then commit them",
            differing.join(", ")
        );
    }
    say("The committed eBPF objects are what their sources make, byte for byte.");
    Ok(())
}
