//! `cargo xtask ci`: the checks that a change must pass before its tests are worth running.

use anyhow::Result;
use lb_object::Objects;

use crate::{
    build, exec,
    setup::toolchain,
    steps::{Steps, say},
    workspace,
};

type Step = fn() -> Result<()>;

const STEPS: [(&str, Step); 6] = [
    ("eBPF objects", build::check_objects),
    ("format", format),
    ("lints", lints),
    ("lints of the fuzz targets", fuzz_lints),
    ("lints of the eBPF programs", ebpf_lints),
    ("dependencies", dependencies),
];

pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::of(STEPS.len());
    STEPS.into_iter().try_for_each(|(name, step)| steps.run(name, step))?;
    say("== passed; `cargo xtask test` comes next");
    Ok(())
}

fn format() -> Result<()> {
    exec::run(workspace::cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    exec::run(workspace::cargo().args([
        "clippy",
        "--locked",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))
}

fn fuzz_lints() -> Result<()> {
    let fuzz = workspace::root().join("fuzz/Cargo.toml");
    let mut format = workspace::cargo();
    exec::run(format.args(["fmt", "--check", "--manifest-path"]).arg(&fuzz))?;
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--locked", "--manifest-path"]).arg(&fuzz);
    clippy.arg("--target-dir").arg(workspace::target()?.join("fuzz"));
    exec::run(clippy.args(["--", "--deny", "warnings"]))
}

fn ebpf_lints() -> Result<()> {
    let programs = Objects::new(workspace::root()).programs()?;
    let target = workspace::target()?.join("bpf");
    let variants = toolchain::pinned()?.each_variant("clippy", &programs, &target)?;
    variants
        .into_iter()
        .try_for_each(|mut clippy| exec::run(clippy.args(["--", "--deny", "warnings"])))
}

fn dependencies() -> Result<()> {
    exec::run(workspace::cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    if exec::output(workspace::cargo().args(["deny", "fetch", "db"])).is_err() {
        say("SKIPPED, for their database cannot be fetched from github.com: advisories");
        return Ok(());
    }
    exec::run(workspace::cargo().args(["deny", "check", "--disable-fetch", "advisories"]))
}
