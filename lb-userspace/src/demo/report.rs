//! What the demo shows.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    net::SocketAddr,
};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::Serialize;

use super::{balancer::Balancer, stage::PORT, traffic::Phase};
use crate::{
    bed::Bed,
    control::{InterfaceMode, Status},
    printable,
};

/// The demo's outcome; JSON has these names.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    requests: u64,
    /// No connection was made.
    failed: u64,
    /// Their server had taken the connection before it was killed.
    taken: u64,
    /// Connected only after the client had sent its SYN again.
    waited: u64,
    per_backend: BTreeMap<String, u64>,
    xdp_mode: InterfaceMode,
    ns_per_packet: Option<u64>,
    vip: SocketAddr,
    phases: Vec<PhaseReport>,
}

#[derive(Debug, Serialize)]
struct PhaseReport {
    name: String,
    requests: u64,
    failed: u64,
    /// How many of them failed why.
    failures: BTreeMap<String, u64>,
    taken: u64,
    waited: u64,
    per_backend: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(bed: &Bed, status: &Status, phases: Vec<Phase>, cost: Option<u64>) -> Self {
        let nobody = bed.backends().iter().map(|host| (address(host.address), 0));
        let nobody: BTreeMap<_, _> = nobody.collect();
        let phases: Vec<_> = phases
            .into_iter()
            .map(|phase| {
                let mut per_backend = nobody.clone();
                per_backend.extend(phase.per_backend);
                let Phase { name, failures, taken, waited, .. } = phase;
                let failed = failures.values().sum();
                let requests = per_backend.values().sum::<u64>() + failed + taken;
                PhaseReport { name, requests, failed, failures, taken, waited, per_backend }
            })
            .collect();
        let mut per_backend = nobody;
        for (backend, requests) in phases.iter().flat_map(|phase| &phase.per_backend) {
            *per_backend.entry(backend.clone()).or_default() += requests;
        }
        let generic = status.interfaces.iter().find(|one| one.mode != InterfaceMode::Native);
        Self {
            requests: phases.iter().map(|phase| phase.requests).sum(),
            failed: phases.iter().map(|phase| phase.failed).sum(),
            taken: phases.iter().map(|phase| phase.taken).sum(),
            waited: phases.iter().map(|phase| phase.waited).sum(),
            per_backend,
            xdp_mode: generic.map_or(InterfaceMode::Native, |one| one.mode),
            ns_per_packet: cost,
            vip: SocketAddr::from((bed.vip(), PORT)),
            phases,
        }
    }

    pub(super) fn print_json(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, self)?;
        writeln!(out)?;
        Ok(())
    }

    pub(super) fn print(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        let backends: Vec<_> = self.per_backend.keys().collect();
        writeln!(out, "{}", topology(self.vip, &backends))?;
        let mut table = Table::new();
        table.load_style(NOTHING);
        let mut headings = vec!["requests to".to_owned()];
        headings.extend(backends.iter().map(|backend| (*backend).clone()));
        headings.extend(["waited", "taken", "failed"].map(str::to_owned));
        table.set_header(headings);
        for phase in &self.phases {
            let mut row = vec![phase.name.clone()];
            row.extend(phase.per_backend.values().map(u64::to_string));
            row.extend([phase.waited, phase.taken, phase.failed].map(|count| count.to_string()));
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(out, "{table}\n")?;
        self.print_summary(&mut out)
    }

    fn print_summary(&self, out: &mut impl io::Write) -> Result<()> {
        let Self { requests, failed, taken, waited, .. } = self;
        writeln!(out, "{requests} requests, {failed} failed: no connection was made")?;
        for phase in &self.phases {
            for (why, count) in &phase.failures {
                writeln!(out, "  {count} with {}: {}", phase.name, printable::line(why))?;
            }
        }
        writeln!(out, "{taken} taken: the server had the connection when it was killed")?;
        writeln!(
            out,
            "{waited} waited: refused by a server, and connected to another one when the client"
        )?;
        writeln!(out, "sent its SYN again, which takes a second")?;
        let mode = format!("{:?}", self.xdp_mode).to_lowercase();
        let cost =
            self.ns_per_packet.map(|cost| format!(", {cost} ns a packet by the kernel's count"));
        writeln!(out, "XDP mode {mode}{}", cost.unwrap_or_default())?;
        Ok(())
    }
}

fn address(ip: std::net::Ipv4Addr) -> String {
    SocketAddr::from((ip, PORT)).to_string()
}

fn topology(vip: SocketAddr, backends: &[&String]) -> String {
    let mut lines = Vec::new();
    for (place, backend) in backends.iter().enumerate() {
        let left = if place == backends.len() / 2 {
            format!("  client ──── {vip} xdplb ────")
        } else {
            String::new()
        };
        let joint = match place {
            0 => "┌─",
            last if last + 1 == backends.len() => "└─",
            _ => "┼─",
        };
        lines.push(format!("{left:<41}{joint} {backend}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What to do with a demo that was kept.
pub(super) fn print_keepsake(bed: &Bed, balancer: &Balancer) -> Result<()> {
    let client = bed.clients()[0].namespace.name();
    let vip = SocketAddr::from((bed.vip(), PORT));
    let backend = address(bed.backends()[0].address);
    let socket = balancer.socket.display();
    let binary = std::env::current_exe()?;
    let xdplb = format!("{} --socket {socket}", binary.display());
    let xdplb = printable::line(&xdplb);
    let mut out = io::stdout().lock();
    writeln!(out, "\nIt is still there. Try:")?;
    writeln!(out, "  ip netns exec {client} curl -i http://{vip}/")?;
    writeln!(out, "  ip netns exec {client} wrk -t1 -c8 -d5 http://{vip}/")?;
    writeln!(out, "  {xdplb} service list")?;
    writeln!(out, "  {xdplb} backend drain web {backend}")?;
    writeln!(out, "  {xdplb} stats --rate")?;
    writeln!(out, "The next `xdplb demo` takes its place and removes it.")?;
    Ok(())
}
