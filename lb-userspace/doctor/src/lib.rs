//! `xdplb doctor`: checks host, configuration and running balancer, and names what fixes a fault.
//!
//! Facts are gathered first (`facts`), each with a time limit; the checks are pure functions of
//! them (`checks`), in one list (`check`).

mod check;
mod checks;
mod facts;
mod page;
mod report;

use std::path::Path;

use anyhow::Result;
use lb_client::Client;

use self::{check::Find, facts::Facts};
pub use self::{
    check::{Check, GROUPS, Group, all},
    page::page,
    report::{Finding, Report, Severity},
};

/// Checks everything: with this configuration file, or else with the running daemon's
/// configuration, or else with the usual file.
///
/// # Errors
///
/// If the file cannot be read or is invalid.
pub async fn examine(client: &Client, file: Option<&Path>) -> Result<Report> {
    Ok(judge(&Facts::gather(client, file).await?))
}

fn judge(Facts { machine, site, usual_file, daemon }: &Facts) -> Report {
    let mut report = Report::default();
    for check in all() {
        match (&check.find, site, daemon.running()) {
            (Find::OnMachine(find), ..) => report.carry_out(check, |cases| find(machine, cases)),
            (Find::OnSite(find), Some(site), _) => {
                report.carry_out(check, |cases| find(site, cases));
            }
            (Find::OfUsualFile(find), ..) => {
                report.carry_out(check, |cases| find(usual_file, cases));
            }
            (Find::OfDaemon(find), ..) => report.carry_out(check, |cases| find(daemon, cases)),
            (Find::InRunning(find), _, Some(running)) => {
                report.carry_out(check, |cases| find(running, cases));
            }
            (Find::OnSite(_), None, _) | (Find::InRunning(_), _, None) => {}
        }
    }
    report
}
