//! Bulk data at full speed or at a rate, by iperf3.

use std::{
    net::SocketAddrV4,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::testbed::Namespace;
use serde::Deserialize;

pub(super) const PORT: u16 = 5201;

const STREAMS: u32 = 8;

#[derive(Deserialize)]
struct Report {
    end: End,
}

#[derive(Deserialize)]
struct End {
    sum_received: Transfer,
}

/// Received data.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Transfer {
    pub(super) bytes: f64,
    pub(super) bits_per_second: f64,
}

/// Returns the command of a server.
pub(super) fn server() -> Command {
    let mut iperf = Command::new("iperf3");
    iperf.args(["--server", "--port", &PORT.to_string()]);
    iperf
}

/// Sends for whole seconds, one at least, at a total rate in bits per second if one is given.
pub(super) fn send(
    client: &Namespace,
    target: SocketAddrV4,
    duration: Duration,
    rate: Option<u32>,
) -> Result<Transfer> {
    // Zero would mean no end.
    let seconds = duration.as_secs().max(1);
    let mut iperf = Command::new("iperf3");
    iperf
        .args([
            "--json",
            "--client",
            &target.ip().to_string(),
            "--port",
            &target.port().to_string(),
        ])
        .args(["--time", &seconds.to_string(), "--parallel", &STREAMS.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(rate) = rate {
        iperf.args(["--bitrate", &(rate / STREAMS).to_string()]);
    }
    let output = client.spawn(&mut iperf)?.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "iperf3 failed: {}: {said}", output.status);
    let report: Report = serde_json::from_str(&said).context("iperf3 says no JSON")?;
    Ok(report.end.sum_received)
}
