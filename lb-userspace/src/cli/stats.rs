//! `stats`: counters of packets and traffic.

use std::{process::ExitCode, time::Duration};

use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;
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
            service.subtract(&earlier.services);
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

impl ServiceStats {
    /// One that was removed since then, or added again, was there before.
    fn subtract(&mut self, earlier: &[Self]) {
        let find = |removed| {
            let is_same = |other: &&Self| {
                (&other.name, other.vip, other.removed) == (&self.name, self.vip, removed)
            };
            earlier.iter().find(is_same)
        };
        let Some(before) = find(self.removed).or_else(|| find(!self.removed)) else { return };
        for backend in &mut self.backends {
            backend.subtract_earlier(&before.backends);
        }
    }
}

impl BackendStats {
    fn is_removed(&self) -> bool {
        self.removed_left.is_some()
    }

    fn subtract_earlier(&mut self, earlier: &[Self]) {
        let find = |is_removed| {
            let is_same =
                |other: &&Self| (other.address, other.is_removed()) == (self.address, is_removed);
            earlier.iter().find(is_same)
        };
        if let Some(before) = find(self.is_removed()).or_else(|| find(false)) {
            self.subtract(before);
        }
    }

    fn subtract(&mut self, before: &Self) {
        self.connections = self.connections.saturating_sub(before.connections);
        self.packets_in = self.packets_in.saturating_sub(before.packets_in);
        self.packets_out = self.packets_out.saturating_sub(before.packets_out);
        self.bytes_in = self.bytes_in.saturating_sub(before.bytes_in);
        self.bytes_out = self.bytes_out.saturating_sub(before.bytes_out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backend(address: &str, left: Option<u64>, packets_in: u64) -> Value {
        json!({
            "address": address, "removed_left": left, "connections": 0,
            "packets_in": packets_in, "packets_out": 0, "bytes_in": 0, "bytes_out": 0,
        })
    }

    fn service(vip: &str, removed: bool, backends: &[Value]) -> Value {
        json!({ "name": "web", "vip": vip, "removed": removed, "backends": backends })
    }

    fn stats(services: &[Value]) -> Stats {
        let stats = json!({
            "at": "2026-01-02T03:04:05Z", "packets": [], "services": services,
            "port_clashes_total": 0, "early_port_reuses_total": 0, "incidents": [],
        });
        serde_json::from_value(stats).expect("the shape")
    }

    fn packets(stats: &Stats) -> Vec<u64> {
        let backends = stats.services.iter().flat_map(|service| &service.backends);
        backends.map(|backend| backend.packets_in).collect()
    }

    const OLD: &str = "203.0.113.1:80";
    const NEW: &str = "203.0.113.2:80";
    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    #[test]
    fn rates_of_what_was_removed_are_no_totals() {
        let earlier = stats(&[
            service(NEW, false, &[backend(A, None, 10), backend(A, Some(3), 500)]),
            service(OLD, true, &[backend(A, Some(2), 7_000), backend(B, Some(1), 8_000)]),
        ]);
        let later = stats(&[
            service(NEW, false, &[backend(A, None, 11), backend(A, Some(3), 502)]),
            service(OLD, true, &[backend(A, Some(2), 7_003), backend(B, Some(1), 8_004)]),
        ]);
        assert_eq!(packets(&later.since(&earlier)), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_removed_between_two_readings_has_a_rate() {
        let earlier =
            stats(&[service(OLD, false, &[backend(A, None, 100), backend(B, None, 200)])]);
        let left = [backend(A, Some(1), 101), backend(B, Some(1), 202)];
        for removed in [true, false] {
            let later = stats(&[service(OLD, removed, &left)]);
            assert_eq!(packets(&later.since(&earlier)), [1, 2]);
        }
        let added_again = stats(&[service(OLD, false, &[backend(A, None, 5), left[1].clone()])]);
        let removed = stats(&[service(OLD, true, &left)]);
        assert_eq!(packets(&added_again.since(&removed)), [5, 0], "a new backend counts from 0");
    }

    #[test]
    fn rows_say_what_was_removed() {
        let stats = stats(&[service(OLD, true, &[backend(A, Some(2), 0)])]);
        let service = &stats.services[0];
        let shown = row(service, &service.backends[0]);
        assert_eq!(shown[..2], ["web (removed)", "10.0.0.1:80 (removed, 2 left)"]);
    }
}
