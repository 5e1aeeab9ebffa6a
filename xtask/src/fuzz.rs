//! `cargo xtask fuzz`: coverage-guided fuzzing of everything that reads others' data.
//!
//! Without a sanitizer the instrumentation needs no nightly: the code under test is safe Rust, and
//! the fuzzer searches for panics, failed assertions, hangs and leaks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{exec, setup::fuzzer, steps::say, workspace};

/// Duration of each target in the test suites.
const SECONDS_IN_TESTS: u32 = 20;
const SECONDS_IN_LONG_TESTS: u32 = 600;

/// Seconds after which one input counts as a hang, also on a busy machine.
const TIMEOUT: u32 = 20;

/// Maximum size of a target's committed corpus, in bytes.
const LARGEST_CORPUS: u64 = 32 << 10;

/// Fuzz the code that reads untrusted data, starting with the committed corpus
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Target to run [default: all]
    target: Option<String>,
    /// Seconds to run each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Then reduce the corpus to a few inputs with the same coverage, to be committed
    #[arg(long)]
    minimize: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let fuzzer = Fuzzer { cargo_fuzz: fuzzer::ensure()? };
    let known = targets()?;
    let chosen = match &arguments.target {
        None => known,
        Some(target) => {
            let names = known.join(", ");
            ensure!(known.contains(target), "there is no fuzz target {target}, but {names}");
            vec![target.clone()]
        }
    };
    for target in &chosen {
        fuzzer.run(target, arguments.seconds)?;
        if arguments.minimize {
            fuzzer.minimize(target)?;
        }
    }
    Ok(())
}

/// Runs all targets for a short time, if libFuzzer can be built.
pub(crate) fn test(long: bool) -> Result<()> {
    if !fuzzer::has_compiler() {
        say("SKIPPED, for there is no C++ compiler to build libFuzzer with: fuzzing");
        return Ok(());
    }
    let seconds = if long { SECONDS_IN_LONG_TESTS } else { SECONDS_IN_TESTS };
    run(&Arguments { target: None, seconds, minimize: false })
}

struct Fuzzer {
    cargo_fuzz: PathBuf,
}

impl Fuzzer {
    /// Starts with the committed corpus; new inputs are kept in the target directory.
    fn run(&self, target: &str, seconds: u32) -> Result<()> {
        say(format_args!("== fuzzing {target} for {seconds} s"));
        let found = found(target)?;
        let mut command = self.command("run", target)?;
        command.arg(&found).arg(corpus(target));
        command.args(["--", &format!("-max_total_time={seconds}"), &format!("-timeout={TIMEOUT}")]);
        command.arg("-print_final_stats=1");
        let dictionary = directory().join(format!("dictionaries/{target}"));
        if dictionary.exists() {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        exec::run(&mut command).with_context(|| {
            format!(
                "{target} fails for an input in fuzz/artifacts/{target}: once it is understood, \
                 add it to fuzz/corpus/{target}"
            )
        })
    }

    /// Reduces all inputs found to a small committed corpus with the same coverage.
    fn minimize(&self, target: &str) -> Result<()> {
        let (corpus, all) = (corpus(target), found(target)?);
        for entry in fs::read_dir(&corpus)? {
            let path = entry?.path();
            fs::copy(&path, all.join(path.file_name().context("a file")?))?;
        }
        fs::remove_dir_all(&corpus)?;
        fs::create_dir(&corpus)?;
        let mut command = self.command("run", target)?;
        exec::run(command.arg(&corpus).arg(&all).args(["--", "-set_cover_merge=1"]))?;
        shorten(&corpus)
    }

    fn command(&self, verb: &str, target: &str) -> Result<Command> {
        let mut command = Command::new(&self.cargo_fuzz);
        command.args(["fuzz", verb, "--sanitizer", "none", "--target-dir"]);
        command.arg(workspace::target()?.join("fuzz")).arg(target);
        command.current_dir(workspace::root());
        Ok(command)
    }
}

/// Removes the largest inputs until the rest is small enough to commit.
fn shorten(corpus: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(corpus)? {
        let entry = entry?;
        inputs.push((entry.metadata()?.len(), entry.path()));
    }
    inputs.sort();
    let mut bytes = 0;
    for (length, path) in inputs {
        bytes += length;
        if bytes > LARGEST_CORPUS {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Returns the names of the targets.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory().join("fuzz_targets"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a target has a name")?;
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn corpus(target: &str) -> PathBuf {
    directory().join("corpus").join(target)
}

/// Returns the directory of inputs that reach new code.
fn found(target: &str) -> Result<PathBuf> {
    let directory = workspace::target()?.join("fuzz-corpus").join(target);
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

fn directory() -> PathBuf {
    workspace::root().join("fuzz")
}
