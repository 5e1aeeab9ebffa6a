//! The benchmark: what a packet costs, and how xdplb does beside its peers.

mod packets;
mod peers;
mod report;
mod statistics;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use nix::unistd::Uid;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use self::{peers::Durations, report::Report};

/// Measure xdplb: nanoseconds a packet, and requests beside its peers
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Measure less, in two minutes at most
    #[arg(long)]
    quick: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
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
    peer_rounds: u32,
    durations: Durations,
}

impl Plan {
    const FULL: Self = Self {
        packet_rounds: 30,
        flow_doublings: &[0, 10, 17, 20],
        peer_rounds: 5,
        durations: Durations {
            fixed_rate: Duration::from_secs(4),
            throughput: Duration::from_secs(4),
        },
    };
    const QUICK: Self = Self {
        packet_rounds: 10,
        flow_doublings: &[0, 10, 17],
        peer_rounds: 1,
        durations: Durations {
            fixed_rate: Duration::from_secs(2),
            throughput: Duration::from_secs(2),
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
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.spawn(heed_signals());
    let plan = if arguments.quick { Plan::QUICK } else { Plan::FULL };
    eprintln!("Measuring packets");
    // A thread of its own, as it leaves the network namespace and all CPUs but one.
    let packets = thread::scope(|scope| scope.spawn(|| packets::measure(&plan)).join());
    let packets = packets.map_err(|_| anyhow::anyhow!("measuring packets panicked"))?;
    let packets = packets.context("cannot measure packets")?;
    let peers = peers::measure(&plan).context("cannot measure the peers")?;
    let report = Report::new(&packets, &peers);
    match arguments.output {
        Output::Table => report.print(),
        Output::Json => report.print_json(),
    }
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
