//! `cargo xtask setup`: what building the eBPF objects and testing need beyond stable Rust.

mod apt;
pub(crate) mod fuzzer;
mod linker;
mod nightly;
pub(crate) mod packager;
mod programs;
pub(crate) mod toolchain;
mod tools;

use anyhow::{Result, bail};
use clap::ValueEnum;

/// Install what building the eBPF objects and testing need; what is there is left alone
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to install; all of it if not said
    groups: Vec<Group>,
    /// Only say what is missing; fail if anything is
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// The toolchain that builds the eBPF objects
    Ebpf,
    /// The servers, clients and tools of the end-to-end tests and the benchmark
    Tests,
    /// What boots other kernels in emulated guests
    Guests,
}

impl Group {
    /// Names of what is missing.
    fn missing(self) -> Result<Vec<String>> {
        match self {
            Self::Ebpf => toolchain::missing(),
            Self::Tests => Ok(programs::missing(&programs::TESTS)),
            Self::Guests => Ok(programs::missing(&programs::GUESTS)),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let groups = match arguments.groups.as_slice() {
        [] => Group::value_variants(),
        chosen => chosen,
    };
    if arguments.check {
        return check(groups);
    }
    groups.iter().try_for_each(|group| ensure(*group))?;
    println!("Everything is installed.");
    Ok(())
}

/// Installs what the group misses.
pub(crate) fn ensure(group: Group) -> Result<()> {
    match group {
        Group::Ebpf => toolchain::any().map(drop),
        Group::Tests => programs::ensure(&programs::TESTS),
        Group::Guests => programs::ensure(&programs::GUESTS),
    }
}

fn check(groups: &[Group]) -> Result<()> {
    let mut missing = Vec::new();
    for group in groups {
        missing.extend(group.missing()?);
    }
    if !missing.is_empty() {
        bail!("missing: {}; run `cargo xtask setup`", missing.join(", "));
    }
    println!("Nothing is missing.");
    Ok(())
}
