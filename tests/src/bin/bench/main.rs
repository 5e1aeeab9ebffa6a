//! The benchmark: what a packet costs, and how xdplb does beside its peers.

mod flood;
mod generator;
mod live;
mod packets;
mod peers;
mod programs;
mod report;
mod statistics;

use std::{
    fs::{self, File},
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::{Parser, ValueEnum};
use nix::unistd::Uid;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use self::{generator::Pace, report::Report};

/// Measure xdplb: nanoseconds a packet, and requests beside its peers
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds a packet
    Packets,
    /// Packets a second through a veth
    Live,
    /// Requests and bytes beside the peers
    Peers,
    /// What a SYN flood does to others
    Flood,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// How much is measured.
struct Plan {
    packet_rounds: u32,
    /// Sizes of the flow table: 2^these connections, ascending.
    flow_doublings: &'static [u32],
    live: live::Extent,
    peers: peers::Extent,
    flood: flood::Extent,
}

impl Plan {
    const FULL: Self = Self {
        packet_rounds: 30,
        flow_doublings: &[0, 10, 17, 20],
        live: live::Extent { rounds: 20, duration: Duration::from_millis(200) },
        peers: peers::Extent {
            cpu_rounds: 7,
            cpu_duration: Duration::from_secs(1),
            throughput_rounds: 3,
            throughput_duration: Duration::from_secs(2),
            patience: Duration::from_secs(45),
        },
        flood: flood::Extent {
            rounds: 1,
            paces: &[Pace::PerSecond(10_000), Pace::PerSecond(100_000), Pace::FullTilt],
            lead: Duration::from_secs(4),
            duration: Duration::from_secs(4),
        },
    };
    const QUICK: Self = Self {
        packet_rounds: 10,
        flow_doublings: &[0, 10, 17],
        live: live::Extent { rounds: 5, duration: Duration::from_millis(100) },
        peers: peers::Extent {
            cpu_rounds: 1,
            cpu_duration: Duration::from_millis(500),
            throughput_rounds: 1,
            throughput_duration: Duration::from_secs(1),
            patience: Duration::from_secs(3),
        },
        flood: flood::Extent {
            rounds: 1,
            paces: &[Pace::FullTilt],
            lead: Duration::from_secs(1),
            duration: Duration::from_secs(1),
        },
    };

    /// Fails once the user has asked to stop.
    fn check() -> Result<()> {
        ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Ctrl-C ends peers too, whose failure is not what happened.
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
    for part in [Part::Packets, Part::Live, Part::Peers, Part::Flood] {
        if !arguments.only.is_empty() && !arguments.only.contains(&part) {
            continue;
        }
        // One that fails takes nothing away from the others.
        if let Err(error) = measure(part, &plan, &mut report) {
            Plan::check()?;
            report.failures.add(&error.context(format!("{part:?}")));
        }
    }
    match arguments.output {
        Output::Table => report.print()?,
        Output::Json => report.print_json()?,
    }
    report.failures.verdict()
}

/// Two at once would take each other's beds away.
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
            eprintln!("Measuring packets");
            // A thread of its own, as it leaves the network namespace and all CPUs but one.
            let packets = thread::scope(|scope| scope.spawn(|| packets::measure(plan)).join());
            report.add_packets(&packets.map_err(|_| anyhow!("measuring packets panicked"))??);
        }
        Part::Live => report.live_frames = live::measure(&plan.live)?,
        Part::Peers => report.end_to_end = peers::measure(&plan.peers, &mut report.failures)?,
        Part::Flood => report.flood = flood::measure(&plan.flood, &mut report.failures)?,
    }
    Ok(())
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
