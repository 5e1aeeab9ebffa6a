//! `stats`: counters of packets and traffic.

use std::{process::ExitCode, time::Duration};

use anyhow::anyhow;
use tokio::time::sleep;

use super::{
    args::{Format, Output},
    exit::Failure,
    output::{align_numbers, print_json, print_line, print_table, table},
};
use crate::{
    api::Client,
    control::{BackendStats, IncidentView, ServiceStats, Stats, VerdictView},
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
    let headings = ["SERVICE", "BACKEND", "CONNS", "PKTS IN", "PKTS OUT", "BYTES IN", "BYTES OUT"];
    let mut backends = table(&headings);
    for service in services {
        for backend in &service.backends {
            backends.add_row(row(&service.name, backend));
        }
    }
    align_numbers(&mut backends, &[2, 3, 4, 5, 6]);
    Ok(print_table(&backends)?)
}

/// Prints only one service's traffic, as packets by verdict are not counted by service.
fn print_service(stats: &Stats, name: &str, output: Output) -> Result<ExitCode, Failure> {
    let found = stats.services.iter().find(|service| service.name == name);
    let found = found.ok_or_else(|| anyhow!("there is no service {name}"))?;
    if output.is_json() {
        print_json(found)?;
    } else {
        print_services(std::slice::from_ref(found))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(service: &str, backend: &BackendStats) -> [String; 7] {
    [
        service.to_owned(),
        backend.address.to_string(),
        backend.connections.to_string(),
        backend.packets_in.to_string(),
        backend.packets_out.to_string(),
        backend.bytes_in.to_string(),
        backend.bytes_out.to_string(),
    ]
}

impl Stats {
    /// Returns the counts since an earlier reading. Counters that were reset in the meantime count
    /// from zero.
    fn since(mut self, earlier: &Self) -> Self {
        for view in &mut self.packets {
            let before = earlier.packets.iter().find(|before| before.reason == view.reason);
            let Some(before) = before else { continue };
            view.packets = view.packets.saturating_sub(before.packets);
            view.bytes = view.bytes.saturating_sub(before.bytes);
        }
        for service in &mut self.services {
            let before = earlier.services.iter().find(|before| before.name == service.name);
            let Some(before) = before else { continue };
            for backend in &mut service.backends {
                let before = before.backends.iter().find(|b| b.address == backend.address);
                if let Some(before) = before {
                    backend.subtract(before);
                }
            }
        }
        self.port_clashes_total =
            self.port_clashes_total.saturating_sub(earlier.port_clashes_total);
        self.early_port_reuses_total =
            self.early_port_reuses_total.saturating_sub(earlier.early_port_reuses_total);
        for view in &mut self.incidents {
            let before = earlier.incidents.iter().find(|before| before.incident == view.incident);
            view.total = view.total.saturating_sub(before.map_or(0, |before| before.total));
        }
        self
    }
}

impl BackendStats {
    fn subtract(&mut self, before: &Self) {
        self.connections = self.connections.saturating_sub(before.connections);
        self.packets_in = self.packets_in.saturating_sub(before.packets_in);
        self.packets_out = self.packets_out.saturating_sub(before.packets_out);
        self.bytes_in = self.bytes_in.saturating_sub(before.bytes_in);
        self.bytes_out = self.bytes_out.saturating_sub(before.bytes_out);
    }
}
