//! `stats`: counters of packets and traffic.

use std::{process::ExitCode, time::Duration};

use anyhow::anyhow;
use jiff::Timestamp;
use lb_client::Client;
use lb_model::views::{BackendStats, IncidentView, ServiceStats, Stats, VerdictView};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    args::{Format, Output},
    exit::Failure,
    output::{align_numbers, print_json, print_line, print_table, table},
};

const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn stats(
    client: &Client,
    service: Option<&str>,
    rate: bool,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut stats = client.stats().await?;
    if rate {
        sleep(PERIOD).await;
        stats = client.stats().await?.since(&stats);
    }
    if let Some(name) = service {
        return print_service(&stats, name, output);
    }
    if output.is_json() {
        print_json(&stats)?;
    } else {
        print(&stats, output.format)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(stats: &Stats, format: Format) -> Result<(), Failure> {
    let mut verdicts = table(&["VERDICT", "REASON", "PACKETS", "BYTES"]);
    let shown = |view: &&VerdictView| format == Format::Wide || view.packets > 0;
    for view in stats.packets.iter().filter(shown) {
        let VerdictView { verdict, reason, packets, bytes } = view;
        verdicts.add_row([verdict, reason, &packets.to_string(), &bytes.to_string()]);
    }
    align_numbers(&mut verdicts, &[2, 3]);
    print_table(&verdicts)?;
    print_line("")?;
    print_services(&stats.services)?;
    let shown = |view: &&IncidentView| format == Format::Wide || view.total > 0;
    let shown: Vec<_> = stats.incidents.iter().filter(shown).collect();
    if shown.is_empty() {
        return Ok(());
    }
    let mut incidents = table(&["INCIDENT", "TOTAL"]);
    for IncidentView { incident, total } in shown {
        incidents.add_row([incident.clone(), total.to_string()]);
    }
    align_numbers(&mut incidents, &[1]);
    print_line("")?;
    Ok(print_table(&incidents)?)
}

fn print_services(services: &[ServiceStats]) -> Result<(), Failure> {
    let headings = ["SERVICE", "BACKEND", "TOTAL", "PKTS IN", "PKTS OUT", "BYTES IN", "BYTES OUT"];
    let mut backends = table(&headings);
    for service in services {
        for backend in &service.backends {
            backends.add_row(row(service, backend));
        }
    }
    align_numbers(&mut backends, &[2, 3, 4, 5, 6]);
    Ok(print_table(&backends)?)
}

/// Prints only one service's traffic, as packets by verdict are not counted by service.
fn print_service(stats: &Stats, name: &str, output: Output) -> Result<ExitCode, Failure> {
    // Those of the name that were removed, too.
    let services: Vec<_> =
        stats.services.iter().filter(|service| service.name == name).cloned().collect();
    if services.is_empty() {
        return Err(anyhow!("there is no service {name}").into());
    }
    if output.is_json() {
        print_json(&OfService { at: stats.at, services: &services })?;
    } else {
        print_services(&services)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The part of [`Stats`] that is of one service.
#[derive(Serialize)]
struct OfService<'a> {
    at: Timestamp,
    services: &'a [ServiceStats],
}

fn row(service: &ServiceStats, backend: &BackendStats) -> [String; 7] {
    let name = &service.name;
    [
        if service.removed { format!("{name} (removed)") } else { name.clone() },
        match backend.removed_left {
            Some(left) => format!("{} (removed, {left} left)", backend.address),
            None => backend.address.to_string(),
        },
        backend.connections.to_string(),
        backend.packets_in.to_string(),
        backend.packets_out.to_string(),
        backend.bytes_in.to_string(),
        backend.bytes_out.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_say_what_was_removed() {
        let service = json!({
            "name": "web", "vip": "203.0.113.1:80", "removed": true, "backends": [{
                "address": "10.0.0.1:80", "removed_left": 2, "connections": 0,
                "packets_in": 0, "packets_out": 0, "bytes_in": 0, "bytes_out": 0,
            }],
        });
        let service: ServiceStats = serde_json::from_value(service).expect("the shape");
        let shown = row(&service, &service.backends[0]);
        assert_eq!(shown[..2], ["web (removed)", "10.0.0.1:80 (removed, 2 left)"]);
    }
}
