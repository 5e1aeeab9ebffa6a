//! `status`: state of the daemon.

use std::process::ExitCode;

use lb_client::Client;
use lb_config::word;
use lb_dataplane::megabytes;
use lb_model::views::{ConnectionLogView, GroupView, NotificationsView, Status};

use super::{
    args::Output,
    exit::Failure,
    output::{count, print_json, print_line, print_table, table},
};

pub(super) async fn status(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let status = client.status().await?;
    if output.is_json() {
        print_json(&status)?;
    } else {
        print(&status)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(status: &Status) -> Result<(), Failure> {
    let Status { version, pid, started, config, flows, .. } = status;
    let started = started.strftime("%F %T UTC");
    print_line(&format!("xdplb {version}, pid {pid}, since {started}, {config}"))?;
    if let Some(http) = status.http {
        print_line(&format!("status page http://{http}/, metrics http://{http}/metrics"))?;
    }
    let mut interfaces = table(&["INTERFACE", "INDEX", "LINK", "XDP", "GUARD"]);
    for interface in &status.interfaces {
        let index = interface.ifindex.to_string();
        let (link, mode) = (word(&interface.link), word(&interface.mode));
        interfaces.add_row([interface.name.clone(), index, link, mode, word(&interface.guard)]);
    }
    print_table(&interfaces)?;
    if !status.groups.is_empty() {
        let role = |group: &GroupView| format!("{} {}", group.name, group.role.as_str());
        let roles: Vec<_> = status.groups.iter().map(role).collect();
        print_line(&format!("groups: {}", roles.join(", ")))?;
    }
    let Status { services, backends_up, backends_in_use, backends_total, .. } = status;
    print_line(&format!(
        "services {services}, backends {backends_up} of {backends_total} up, {backends_in_use} in use"
    ))?;
    print_line(&format!(
        "connections {} active: {} established, {} half-open, {} answered, {} closing; {} closed",
        flows.active,
        flows.established,
        flows.half_open,
        flows.answered,
        flows.closing,
        flows.closed,
    ))?;
    print_line(&format!(
        "flow table {} of {} in use ({} MB), {} source ports cooling down",
        flows.entries,
        flows.capacity,
        megabytes(flows.bytes),
        flows.cooling_ports,
    ))?;
    if let Some(ConnectionLogView { to, written, left_out }) = &status.connection_log {
        print_line(&format!("connection log {to}: {written} lines written, {left_out} left out"))?;
    }
    if let Some(view) = status.notifications {
        let NotificationsView { recipients, delivered, failed, dropped, queued } = view;
        print_line(&format!(
            "notifications: {delivered} delivered to {}, {failed} failed, {dropped} dropped, \
             {queued} waiting",
            count(recipients, "recipient"),
        ))?;
    }
    for warning in &status.warnings {
        print_line(&format!("warning: {warning}"))?;
    }
    Ok(())
}
