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

use self::programs::Program;

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
    /// What the suite `host` needs
    Host,
    /// The servers, clients and tools of the suite `forwarding` and of the benchmark
    Forwarding,
    /// What the suite `hostile` needs
    Hostile,
    /// What the suite `package` needs
    Package,
    /// What boots other kernels in emulated guests
    Guest,
}

impl Group {
    /// The programs that it consists of.
    const fn programs(self) -> &'static [Program] {
        match self {
            Self::Ebpf => &[],
            Self::Host => &programs::HOST,
            Self::Forwarding => &programs::FORWARDING,
            Self::Hostile => &programs::HOSTILE,
            Self::Package => &programs::PACKAGE,
            Self::Guest => &programs::GUEST,
        }
    }

    /// Names of what is missing.
    fn missing(self) -> Result<Vec<String>> {
        match self {
            Self::Ebpf => toolchain::missing(),
            group => Ok(programs::missing(group.programs())),
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
        group => programs::ensure(group.programs()),
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
