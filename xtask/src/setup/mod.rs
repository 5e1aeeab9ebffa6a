//! `cargo xtask setup`: the requirements of building the eBPF objects and of testing, beyond stable
//! Rust.

mod apt;
mod axe;
pub(crate) mod fuzzer;
mod linker;
mod nightly;
pub(crate) mod packager;
mod programs;
pub(crate) mod toolchain;
mod tools;

use std::fmt;

use anyhow::{Result, bail};
use clap::ValueEnum;

use self::programs::Program;
use crate::steps::{Steps, say};

/// Install the requirements of building the eBPF objects and of testing, as far as missing
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Groups to install [default: all]
    groups: Vec<Group>,
    /// Only list what is missing; fail if anything is
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// The toolchain that builds the eBPF objects
    Ebpf,
    /// Programs for the suite `host`
    Host,
    /// Servers, clients and tools for the suite `forwarding` and for the benchmark
    Forwarding,
    /// Programs for the suite `hostile`
    Hostile,
    /// Programs for the suite `package`
    Package,
    /// Programs that boot other kernels in emulated guests
    Guest,
    /// Programs for the suite `pair`
    Pair,
    /// Programs for the suite `see`
    See,
}

impl Group {
    /// Returns the programs of the group.
    const fn programs(self) -> &'static [Program] {
        match self {
            Self::Ebpf => &[],
            Self::Host => &programs::HOST,
            Self::Forwarding => &programs::FORWARDING,
            Self::Hostile => &programs::HOSTILE,
            Self::Package => &programs::PACKAGE,
            Self::Guest => &programs::GUEST,
            Self::Pair => &programs::PAIR,
            Self::See => &programs::SEE,
        }
    }

    /// Returns the names of missing programs.
    fn missing(self) -> Result<Vec<String>> {
        match self {
            Self::Ebpf => toolchain::missing(),
            Self::See => {
                let axe = (!axe::is_there()?).then(|| "axe-core".to_owned());
                Ok(programs::missing(self.programs()).into_iter().chain(axe).collect())
            }
            group => Ok(programs::missing(group.programs())),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
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
    let mut steps = Steps::of(groups.len());
    groups.iter().try_for_each(|group| steps.run(group, || ensure(*group)))?;
    say("Everything is installed.");
    Ok(())
}

/// Installs the missing programs of the group.
pub(crate) fn ensure(group: Group) -> Result<()> {
    match group {
        Group::Ebpf => toolchain::any().map(drop),
        Group::See => {
            programs::ensure(group.programs())?;
            axe::ensure()
        }
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
    say("Nothing is missing.");
    Ok(())
}
