//! Output of the demo.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use lb_model::views::{InterfaceMode, Status};
use serde::Serialize;

use super::{
    balancer::{Balancer, HTTP},
    stage::PORT,
    traffic::Phase,
};
use lb_host::printable;
use lb_testbed::Testbed;

/// Outcome of the demo; the field names are those of the JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    requests: u64,
    /// Requests without a connection.
    failed: u64,
    /// Requests whose server had accepted the connection before it was killed.
    taken: u64,
    /// Requests that were connected only after a SYN retransmission.
    waited: u64,
    per_backend: BTreeMap<String, u64>,
    xdp_mode: InterfaceMode,
    ns_per_packet: Option<u64>,
    vip: SocketAddr,
    phases: Vec<PhaseReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Keepsake>,
}

#[derive(Debug, Serialize)]
struct PhaseReport {
    name: String,
    requests: u64,
    failed: u64,
    /// Number of failures by reason.
    failures: BTreeMap<String, u64>,
    taken: u64,
    waited: u64,
    per_backend: BTreeMap<String, u64>,
}

impl Report {
    pub(super) fn new(
        testbed: &Testbed,
        status: &Status,
        phases: Vec<Phase>,
        cost: Option<u64>,
    ) -> Self {
        let nobody = testbed.backends().iter().map(|host| (address(host.address), 0));
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
            vip: SocketAddr::from((testbed.vip(), PORT)),
            phases,
            kept: None,
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
        self.print_summary(&mut out)?;
        self.kept.as_ref().map_or(Ok(()), |kept| kept.print(&mut out))
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

/// Hints for a kept demo.
#[derive(Debug, Serialize)]
pub(super) struct Keepsake {
    /// Prefix of the network namespaces' names, before a dash.
    prefix: String,
    client: String,
    socket: PathBuf,
    /// Commands to try.
    r#try: Vec<String>,
    /// The command that removes it.
    stop: String,
}

impl Keepsake {
    pub(super) fn of(testbed: &Testbed, balancer: &Balancer) -> Result<Self> {
        let client = testbed.clients()[0].namespace.name().to_owned();
        let host = testbed.balancer().name();
        let vip = SocketAddr::from((testbed.vip(), PORT));
        let backend = address(testbed.backends()[0].address);
        let socket = balancer.socket.clone();
        let binary = env::current_exe()?.display().to_string();
        let xdplb = format!("{binary} --socket {}", socket.display());
        let prefix = testbed.prefix().to_owned();
        Ok(Self {
            stop: format!("{binary} demo --stop {prefix}"),
            prefix,
            r#try: vec![
                format!("ip netns exec {client} curl -i http://{vip}/"),
                format!("ip netns exec {client} wrk -t1 -c8 -d5 http://{vip}/"),
                format!("{xdplb} service list"),
                format!("{xdplb} backend drain web {backend}"),
                format!("{xdplb} stats --rate"),
                format!("ip netns exec {host} curl http://{HTTP}/metrics"),
                format!(
                    "socat TCP-LISTEN:{},bind=127.0.0.1,fork EXEC:'ip netns exec {host} socat - \
                     TCP\\:{}\\:{0}' # then open http://{HTTP}/, the status page",
                    HTTP.port(),
                    HTTP.ip(),
                ),
            ],
            client,
            socket,
        })
    }

    fn print(&self, out: &mut impl io::Write) -> Result<()> {
        writeln!(out, "\nStill running. Try:")?;
        for command in &self.r#try {
            writeln!(out, "  {}", printable::line(command))?;
        }
        writeln!(out, "Remove it:\n  {}", printable::line(&self.stop))?;
        Ok(())
    }
}

/// Prints the demos that were removed and those that are running.
pub(super) fn print_stopped(removed: &[String], running: &[String], json: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let stopped = serde_json::json!({ "removed": removed, "running": running });
        serde_json::to_writer_pretty(&mut out, &stopped)?;
        writeln!(out)?;
        return Ok(());
    }
    for prefix in removed {
        writeln!(out, "{prefix} removed")?;
    }
    for prefix in running {
        writeln!(out, "{prefix} is running: interrupt it to end it")?;
    }
    if removed.is_empty() && running.is_empty() {
        writeln!(out, "There is no demo to stop")?;
    }
    Ok(())
}
