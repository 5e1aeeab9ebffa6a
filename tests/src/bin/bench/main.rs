//! The benchmark: cost per packet, and comparison of xdplb with its peers.

mod control;
mod flood;
mod generator;
mod live;
mod packets;
mod peers;
mod plan;
mod plots;
mod programs;
mod report;
mod statistics;

use std::{
    any::Any,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::Ordering,
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use nix::unistd::Uid;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use self::{
    plan::{INTERRUPTED, Plan},
    report::Report,
};

/// Measure xdplb: nanoseconds per packet, and requests compared with its peers
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Measure less, in two minutes at most
    #[arg(long)]
    quick: bool,
    /// Measure these parts only
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Directory of results and plots [default: bench/ and the time, in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds per packet
    Packets,
    /// Growth of nanoseconds per packet with services and backends
    Scaling,
    /// Speed-up by a second CPU
    Cpus,
    /// Packets per second through a veth
    Live,
    /// Requests and bytes compared with the peers
    Peers,
    /// Effect of a SYN flood on other clients
    Flood,
    /// Speed of the daemon
    Control,
    /// Cost of looking at the balancer: status page, explanations, metrics
    Watched,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Ctrl-C ends the peers, too; their failure is not the cause.
        Err(_) if INTERRUPTED.load(Ordering::Relaxed) => {
            eprintln!("error: interrupted; all namespaces are removed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!("the benchmark loads programs and makes network namespaces: run it as root");
    }
    let _alone = lock()?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.spawn(heed_signals());
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::default();
    for part in Part::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(part) {
            continue;
        }
        // A failure does not stop the other parts.
        if let Err(error) = measure(*part, &plan, &mut report) {
            Plan::check()?;
            report.failures.add(&error.context(format!("{part:?}")));
        }
    }
    let directory = directory(arguments)?;
    report.save(&directory)?;
    plots::draw(&report, &directory)?;
    eprintln!("Results are in {}", directory.display());
    match arguments.output {
        Output::Table => report.print()?,
        Output::Json => report.print_json()?,
    }
    report.failures.verdict()
}

/// Returns the directory of results.
fn directory(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(directory) = &arguments.out {
        return Ok(directory.clone());
    }
    let own = env::current_exe().context("cannot tell where the benchmark was built")?;
    let target = own.ancestors().nth(2).context("the benchmark was not built by cargo")?;
    Ok(target.join("bench").join(Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ").to_string()))
}

/// Locks out a second benchmark: each would remove the other's testbeds.
fn lock() -> Result<File> {
    const DIRECTORY: &str = "/run/xdplb";
    fs::create_dir_all(DIRECTORY)?;
    let file = File::create(Path::new(DIRECTORY).join("bench.lock"))?;
    file.try_lock().context("another benchmark is running")?;
    Ok(file)
}

/// Measures a part. What was measured before it failed is reported.
fn measure(part: Part, plan: &Plan, report: &mut Report) -> Result<()> {
    let Report { failures, .. } = report;
    match part {
        Part::Packets => {
            let mut measured = packets::Measured::default();
            let result = aside(|| packets::measure(&plan.packets, &mut measured));
            report.add_packets(&measured);
            result
        }
        Part::Scaling => {
            let mut scalings = Vec::new();
            let result = aside(|| packets::measure_scaling(&plan.packets, &mut scalings));
            report.add_scaling(&scalings);
            result
        }
        Part::Cpus => {
            let mut speed_ups = Vec::new();
            let result = aside(|| packets::measure_two_cpus(&plan.packets, &mut speed_ups));
            report.add_speed_ups(&speed_ups);
            result
        }
        Part::Live => aside(|| live::measure(&plan.live)).map(|rows| report.live_frames = rows),
        Part::Peers => {
            aside(|| peers::measure(&plan.peers, failures)).map(|rows| report.end_to_end = rows)
        }
        Part::Flood => {
            aside(|| flood::measure(&plan.flood, failures)).map(|rows| report.flood = rows)
        }
        Part::Control => {
            aside(|| control::measure(&plan.control)).map(|rows| report.control = rows)
        }
        Part::Watched => {
            aside(|| control::measure_watched(&plan.control)).map(|rows| report.watched = rows)
        }
    }
}

/// Runs on a thread of its own: it may change its network namespace and CPU affinity, and if it
/// panics, what others have measured is kept.
fn aside<T: Send>(measure: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let measured = thread::scope(|scope| scope.spawn(measure).join());
    measured.map_err(|panic| anyhow!("panicked: {}", reason(&*panic)))?
}

/// Returns what a panic says.
fn reason(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted.or_else(|| panic.downcast_ref().copied()).unwrap_or("no reason given")
}

async fn heed_signals() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    INTERRUPTED.store(true, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_reason() {
        let failed = |measure: fn() -> Result<()>| aside(measure).unwrap_err().to_string();
        assert_eq!(failed(|| panic!("no daemon")), "panicked: no daemon");
        assert_eq!(failed(|| panic!("no daemon at {}", 7)), "panicked: no daemon at 7");
        assert_eq!(aside(|| Ok(7)).unwrap(), 7);
    }
}
