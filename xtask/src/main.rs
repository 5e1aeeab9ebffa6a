//! The developer's commands of xdplb: `cargo xtask <command>`.

mod bench;
mod build;
mod ci;
mod demo;
mod docs;
mod exec;
mod fuzz;
mod objects;
mod package;
mod screenshot;
mod setup;
mod steps;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The developer's commands of xdplb.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Verb {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Demo(demo::Arguments),
    Test(test::Arguments),
    Fuzz(fuzz::Arguments),
    Bench(bench::Arguments),
    /// Generate the references in `docs/` from the code
    Docs,
    /// Take the picture of the status page for the README, `docs/page.png` (needs root)
    Screenshot,
    /// Build a Debian package, `target/debian/xdplb.deb`
    Package,
    /// Compare the eBPF objects with their sources; check format, lints and dependencies
    Ci,
}

fn main() -> ExitCode {
    match run(Verb::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Fuzz(arguments) => fuzz::run(&arguments),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Docs => docs::run(),
        Verb::Screenshot => screenshot::run(),
        Verb::Package => package::run(),
        Verb::Ci => ci::run(),
    }
}
