//! Requests at full speed, by wrk.

use std::{
    fs,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::testbed::Namespace;
use serde::Deserialize;

const CONNECTIONS: u32 = 64;

/// Makes wrk report in JSON.
const SCRIPT: &str = r#"
done = function(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"p999_us":%d,"errors":%d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        latency:percentile(99.9),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// The script, in a file that wrk can read.
pub(super) struct Wrk {
    script: PathBuf,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Report {
    requests: u32,
    duration_us: u64,
    errors: u32,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
}

/// Result at full speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Throughput {
    /// Requests or bits.
    pub(super) per_second: f64,
    /// Latency of requests.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) p999_us: Option<f64>,
}

impl Wrk {
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let script = directory.join("wrk.lua");
        fs::write(&script, SCRIPT)?;
        Ok(Self { script })
    }

    pub(super) fn run(
        &self,
        client: &Namespace,
        target: SocketAddrV4,
        keep_alive: bool,
        duration: Duration,
    ) -> Result<Throughput> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{}s", duration.as_secs())])
            .arg("--script")
            .arg(&self.script);
        if !keep_alive {
            wrk.args(["--header", "Connection: close"]);
        }
        wrk.arg(format!("http://{target}/")).stdin(Stdio::null()).stdout(Stdio::piped());
        let output = client.spawn(&mut wrk)?.wait_with_output()?;
        ensure!(output.status.success(), "wrk failed: {}", output.status);
        let prose = String::from_utf8_lossy(&output.stdout);
        let last = prose.lines().last().context("wrk says nothing")?;
        let report: Report =
            serde_json::from_str(last).with_context(|| format!("wrk says: {prose}"))?;
        let Report { requests, errors, .. } = report;
        ensure!(errors * 1_000 <= requests, "{errors} of {requests} requests failed");
        let duration = Duration::from_micros(report.duration_us);
        Ok(Throughput {
            per_second: f64::from(requests) / duration.as_secs_f64(),
            p50_us: Some(report.p50_us),
            p99_us: Some(report.p99_us),
            p999_us: Some(report.p999_us),
        })
    }
}
