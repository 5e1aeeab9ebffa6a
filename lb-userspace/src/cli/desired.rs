//! `diff`, `apply`, `history` and `rollback`: the services as one document.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use lb_client::Client;
use lb_config::Diagnostics;
use lb_model::{
    Proposal, Target,
    views::{FullVersion, VersionView},
};
use serde_json::Value;

use super::{
    args::Output,
    changed::Outcome,
    exit::{self, Failure, INVALID, PROBLEMS},
    output::{align_numbers, print_json, print_line, print_table, table},
    patience::announced,
};
use lb_host::printable;

pub(super) async fn diff(
    client: &Client,
    file: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (proposal, warnings) = proposal(file)?;
    let what = format!("the daemon checks {}", printable::line(&proposal.path));
    let plan = announced(output, &what, client.plan(&proposal)).await?;
    let differs = !plan.steps.is_empty();
    let outcome = Outcome::from(plan).warning(warnings).in_dry_run(true);
    let code = match (outcome.is_refused(), differs) {
        (true, _) => INVALID,
        (false, true) => PROBLEMS,
        (false, false) => 0,
    };
    exit::after(outcome.print(output), code)
}

pub(super) async fn apply(
    client: &Client,
    file: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    let (proposal, warnings) = proposal(file)?;
    let what = format!("the daemon checks and applies {}", printable::line(&proposal.path));
    let plan = announced(output, &what, client.apply(&proposal)).await?;
    print(client, Outcome::from(plan).warning(warnings), output)
}

pub(super) async fn history(
    client: &Client,
    version: Option<u64>,
    output: Output,
) -> Result<ExitCode, Failure> {
    if let Some(version) = version {
        return print_version(&client.version(version).await?, output);
    }
    let versions = client.history().await?;
    if output.is_json() {
        print_json(&versions)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(&["VERSION", "AT", "BY", "WHAT"]);
    for version in versions {
        let at = version.at.strftime("%F %T UTC").to_string();
        rows.add_row([version.version.to_string(), at, version.by, version.what]);
    }
    align_numbers(&mut rows, &[0]);
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a version: author, changes and services.
fn print_version(version: &FullVersion, output: Output) -> Result<ExitCode, Failure> {
    if output.is_json() {
        print_json(version)?;
        return Ok(ExitCode::SUCCESS);
    }
    let FullVersion { view: VersionView { version: number, at, by, what }, steps, services } =
        version;
    print_line(&format!("version {number}, {}, by {by}: {what}", at.strftime("%F %T UTC")))?;
    match steps.as_deref() {
        None => print_line("its changes are unknown: the previous version is no longer stored")?,
        Some([]) => print_line("it changed no service")?,
        Some(steps) => steps.iter().try_for_each(|step| print_line(&step.to_string()))?,
    }
    print_line(services.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the file as it is, or its keys as JSON.
pub(super) async fn export(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let text = client.export().await?;
    if output.is_json() {
        let keys: Value = toml::from_str(&text).context("the daemon's answer is not a file")?;
        print_json(&keys)?;
        return Ok(ExitCode::SUCCESS);
    }
    if io::stdout().is_terminal() {
        print_line(text.trim_end())?;
    } else {
        io::stdout().write_all(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn rollback(
    client: &Client,
    version: Option<u64>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let what = "the daemon checks and applies the former version";
    let plan = announced(output, what, client.rollback(Target { version })).await?;
    print(client, plan.into(), output)
}

/// Returns the text of a file, if it is valid, and its warnings. The daemon checks it again, and against the host.
fn proposal(file: &Path) -> Result<(Proposal, Vec<String>), Failure> {
    // Read only once, as it may be a pipe.
    let text = lb_config::read_text(file).map_err(anyhow::Error::from)?;
    let path = lb_config::shown_path(file);
    let warnings = lb_config::read(path.clone(), text.clone())?.warnings;
    let whole = fs::canonicalize(file).ok().filter(|whole| whole.is_file());
    let path = whole.map_or(path, |whole| whole.display().to_string());
    Ok((Proposal { path, text }, warnings.iter().map(Diagnostics::sentence).collect()))
}

fn print(client: &Client, outcome: Outcome, output: Output) -> Result<ExitCode, Failure> {
    let outcome = outcome.in_dry_run(client.is_dry_run());
    let mut printed = outcome.print(output);
    if !client.is_dry_run() && !output.is_json() {
        printed = printed.and_then(|()| outcome.print_steps());
    }
    // As the change itself would end.
    exit::after(printed, if client.is_dry_run() && outcome.is_refused() { INVALID } else { 0 })
}
