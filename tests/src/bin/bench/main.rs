//! The benchmark: the cost of a packet, and xdplb compared with its peers.

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
    /// Measure less, in at most two minutes
    #[arg(long)]
    quick: bool,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Directory for results and plots [default: bench/ and the time, in cargo's target directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds per packet
    Packets,
    /// Nanoseconds per packet with more services and backends
    Scaling,
    /// Packets per second through a veth
    Live,
    /// Requests and bytes compared with the peers
    Peers,
    /// Effect of a SYN flood on legitimate clients
    Flood,
    /// Speed of the daemon
    Control,
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
        // Ctrl-C ends peers too, whose failure is not the cause.
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
        // A failure of one part does not affect the others.
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

/// Returns the directory for results.
fn directory(arguments: &Arguments) -> Result<PathBuf> {
    if let Some(directory) = &arguments.out {
        return Ok(directory.clone());
    }
    let own = env::current_exe().context("cannot tell where the benchmark was built")?;
    let target = own.ancestors().nth(2).context("the benchmark was not built by cargo")?;
    Ok(target.join("bench").join(Timestamp::now().strftime("%Y-%m-%dT%H%M%SZ").to_string()))
}

/// Two benchmarks at once would remove each other's testbeds.
fn lock() -> Result<File> {
    const DIRECTORY: &str = "/run/xdplb";
    fs::create_dir_all(DIRECTORY)?;
    let file = File::create(Path::new(DIRECTORY).join("bench.lock"))?;
    file.try_lock().context("another benchmark is running")?;
    Ok(file)
}

fn measure(part: Part, plan: &Plan, report: &mut Report) -> Result<()> {
    match part {
        Part::Packets => {
            let mut costs = Vec::new();
            let measured = aside(|| packets::measure(&plan.packets, &mut costs));
            report.add_packets(&costs);
            measured?;
        }
        Part::Scaling => {
            let mut scalings = Vec::new();
            let measured = aside(|| packets::measure_scaling(&plan.packets, &mut scalings));
            report.add_scaling(&scalings);
            measured?;
        }
        Part::Live => report.live_frames = live::measure(&plan.live)?,
        Part::Peers => report.end_to_end = peers::measure(&plan.peers, &mut report.failures)?,
        Part::Flood => report.flood = flood::measure(&plan.flood, &mut report.failures)?,
        Part::Control => report.control = control::measure(&plan.control)?,
    }
    Ok(())
}

/// Runs on a thread of its own, as it leaves the network namespace and all CPUs but one.
fn aside(measure: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let measured = thread::scope(|scope| scope.spawn(measure).join());
    measured.map_err(|_| anyhow!("measuring packets panicked"))?
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
