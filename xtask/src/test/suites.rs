//! The test suites, with their requirements and commands.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    exec, fuzz, package,
    setup::{Group, ensure},
    workspace,
};

/// Environment variable for the number of cases of a property test.
const CASES: &str = "PROPTEST_CASES";
const LONG_CASES: &str = "10000";

/// Environment variable for tests with a longer variant: see `lb_tests::LONG`.
const LONG: &str = "XDPLB_LONG_TESTS";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    /// Unit and property tests, including those that need root; fuzzing
    Host,
    /// Packets through the shipped object
    Packets,
    /// The whole balancer with real servers and clients
    Forwarding,
    /// Attacks and mishaps
    Hostile,
    /// The Debian package and its unit
    Package,
    /// Debian's kernels in emulated guests
    Guest,
    /// Two balancers: roles, leases and takeovers
    Pair,
    /// Metrics, in a real Prometheus; the status page, in a real browser; faults that `doctor` must find
    See,
}

impl Suite {
    /// Returns the programs that it needs, beyond those that build it.
    const fn group(self) -> Option<Group> {
        match self {
            Self::Packets => None,
            Self::Host => Some(Group::Host),
            Self::Forwarding => Some(Group::Forwarding),
            Self::Hostile => Some(Group::Hostile),
            Self::Package => Some(Group::Package),
            Self::Guest => Some(Group::Guest),
            Self::Pair => Some(Group::Pair),
            Self::See => Some(Group::See),
        }
    }

    /// Returns its test targets of the package `lb-tests`.
    const fn targets(self) -> &'static [&'static str] {
        match self {
            Self::Host => &[],
            Self::Packets => &["object", "packets"],
            Self::Forwarding => &["forwarding"],
            Self::Hostile => &["hostile"],
            Self::Package => &["package"],
            Self::Guest => &["guest"],
            Self::Pair => &["pair"],
            Self::See => &["see"],
        }
    }

    /// Returns how many of its tests run at once. Those in network namespaces share their names; most guests have
    /// no network.
    const fn at_once(self) -> usize {
        match self {
            Self::Guest => 2,
            _ => 1,
        }
    }

    /// Runs it. All but [`Self::Host`] need root.
    pub(super) fn run(self, long: bool) -> Result<()> {
        if let Some(group) = self.group().filter(|_| workspace::is_root()) {
            ensure(group)?;
        }
        if self == Self::Host {
            return host(long);
        }
        if self == Self::Package {
            package::make()?;
        }
        let targets = self.targets().iter().flat_map(|target| ["--test", target]);
        let arguments: Vec<_> = ["--package", "lb-tests"].into_iter().chain(targets).collect();
        privileged(&arguments, self.at_once(), long)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
    }
}

fn host(long: bool) -> Result<()> {
    let mut tests = workspace::cargo();
    if long {
        tests.env(CASES, LONG_CASES);
    }
    exec::run(tests.arg("test"))?;
    fuzz::test(long)?;
    if workspace::is_root() {
        privileged(&["--lib", "--bins"], 1, long)?;
    }
    Ok(())
}

/// Runs the tests that need root, so many at once.
fn privileged(arguments: &[&str], at_once: usize, long: bool) -> Result<()> {
    let mut tests = workspace::cargo();
    tests.arg("test").args(arguments);
    tests.args(["--", "--ignored"]).arg(format!("--test-threads={at_once}"));
    if long {
        tests.env(CASES, LONG_CASES).env(LONG, "1");
    }
    exec::run(&mut tests)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_target_is_of_a_suite() {
        let known: Vec<_> = Suite::value_variants().iter().flat_map(|one| one.targets()).collect();
        let found = fs::read_dir(workspace::root().join("tests/tests")).expect("the targets");
        for entry in found {
            let path = entry.expect("readable").path();
            let target = path.file_stem().and_then(|stem| stem.to_str()).expect("text");
            assert!(known.contains(&&target), "{target} is of no suite");
        }
    }
}
