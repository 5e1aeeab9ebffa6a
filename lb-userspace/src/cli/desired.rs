//! `diff`, `apply`, `history` and `rollback`: the services as one document.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::anyhow;

use super::{
    args::Output,
    changed::Outcome,
    exit::{Failure, INVALID, PROBLEMS},
    output::{align_numbers, print_json, print_line, print_table, table},
};
use crate::{
    api::{Client, ClientError, FullVersion, Target},
    config,
    control::{Plan, Proposal, VersionView},
};

pub(super) async fn diff(
    client: &Client,
    file: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    let plan = client.plan(&proposal(file)?).await.map_err(of_file)?;
    let differs = !plan.steps.is_empty();
    Outcome::from(plan).in_dry_run(true).print(output)?;
    Ok(if differs { ExitCode::from(PROBLEMS) } else { ExitCode::SUCCESS })
}

pub(super) async fn apply(
    client: &Client,
    file: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    print(client, client.apply(&proposal(file)?).await.map_err(of_file)?, output)
}

/// Converts the daemon's error of a file to the form of `check`.
fn of_file(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(problem) if problem.is_invalid() => {
            Failure::Config(anyhow!(problem.detail))
        }
        error => error.into(),
    }
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

pub(super) async fn export(client: &Client) -> Result<ExitCode, Failure> {
    let text = client.export().await?;
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
    print(client, client.rollback(Target { version }).await?, output)
}

/// Returns the text of a file, if it is valid. The daemon checks it again, and against the host.
fn proposal(file: &Path) -> Result<Proposal, Failure> {
    // Read only once, as it may be a pipe.
    let text = config::read_text(file).map_err(anyhow::Error::from)?;
    let path = config::shown_path(file);
    config::read(path.clone(), text.clone())?;
    let whole = fs::canonicalize(file).ok().filter(|whole| whole.is_file());
    let path = whole.map_or(path, |whole| whole.display().to_string());
    Ok(Proposal { path, text })
}

fn print(client: &Client, plan: Plan, output: Output) -> Result<ExitCode, Failure> {
    let outcome = Outcome::from(plan).in_dry_run(client.is_dry_run());
    outcome.print(output)?;
    if !client.is_dry_run() && !output.is_json() {
        outcome.print_steps()?;
    }
    // As the change itself would end.
    Ok(if client.is_dry_run() && outcome.is_refused() { INVALID.into() } else { ExitCode::SUCCESS })
}
