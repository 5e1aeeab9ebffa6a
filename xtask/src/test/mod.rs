//! `cargo xtask test`: the test suites that this user may run.

mod suites;

use anyhow::{Result, bail};
use clap::ValueEnum as _;

use self::suites::Suite;
use crate::{
    build,
    steps::{Steps, say},
    workspace,
};

/// Run the tests; install the programs that they need
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Suites to run [default: all]
    suites: Vec<Suite>,
    /// Run more random cases, ten minutes of fuzzing per target, and ten of a million connections
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen = match arguments.suites.as_slice() {
        [] => Suite::value_variants(),
        chosen => chosen,
    };
    let may_run = |suite: &&Suite| workspace::is_root() || **suite == Suite::Host;
    let (run, skipped): (Vec<&Suite>, Vec<_>) = chosen.iter().partition(may_run);
    if run.is_empty() {
        bail!("these suites need root");
    }
    let mut steps = Steps::of(1 + run.len());
    steps.run("build", build::xdplb)?;
    run.into_iter().try_for_each(|suite| {
        steps.run(format_args!("suite {suite}"), || suite.run(arguments.long))
    })?;
    if !workspace::is_root() {
        let names: Vec<_> = skipped.iter().map(ToString::to_string).collect();
        say(format_args!(
            "SKIPPED, as they need root: {} and tests of host that do",
            names.join(", ")
        ));
    }
    Ok(())
}
