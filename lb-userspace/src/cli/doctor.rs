//! `doctor`: what is wrong, and what fixes it.

use std::{collections::BTreeMap, path::Path, process::ExitCode};

use lb_client::Client;
use lb_doctor::{Finding, Report, Severity};

use super::{
    args::Output,
    exit::{self, Failure, PROBLEMS},
    output::{count, print_json, print_line},
};

pub(super) async fn doctor(
    client: &Client,
    file: Option<&Path>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let report = lb_doctor::examine(client, file).await?;
    let printed = if output.is_json() {
        print_json(&report.findings).map_err(Failure::from)
    } else {
        print(&report)
    };
    exit::after(printed, if report.has_faults() { PROBLEMS } else { 0 })
}

/// Prints the findings by subject, the worst first, and at last what was not checked.
fn print(report: &Report) -> Result<(), Failure> {
    let is_checked = |one: &&Finding| one.severity != Severity::NotChecked;
    let mut subjects = BTreeMap::<_, Vec<_>>::new();
    for finding in report.findings.iter().filter(is_checked) {
        subjects.entry(&finding.subject).or_default().push(finding);
    }
    let mut subjects: Vec<_> = subjects.into_iter().collect();
    for (_, findings) in &mut subjects {
        findings.sort_by_key(|one| one.severity);
    }
    subjects.sort_by_key(|(_, findings)| findings[0].severity);
    for (subject, findings) in subjects {
        print_line(subject)?;
        for Finding { id, severity, message, fix, .. } in findings {
            print_line(&format!("  {}: {message} [{id}]", severity.word()))?;
            print_line(&format!("    fix: {fix}"))?;
        }
    }
    for Finding { id, subject, message, .. } in
        report.findings.iter().filter(|one| !is_checked(one))
    {
        print_line(&format!("not checked: {subject}: {message} [{id}]"))?;
    }
    print_line(&summary(report))?;
    Ok(())
}

fn summary(report: &Report) -> String {
    let checks = count(report.checks, "check");
    if !report.has_faults() {
        return format!("no problems found ({checks})");
    }
    let problems = count(report.count(Severity::Problem), "problem");
    let warnings = count(report.count(Severity::Warning), "warning");
    format!("{problems}, {warnings} ({checks})")
}
