//! The demo: a whole load balancer in network namespaces, under traffic, with a server that fails
//! and comes back.

mod balancer;
mod claim;
mod report;
mod responder;
mod stage;
mod traffic;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Result, bail, ensure};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

pub(crate) use self::claim::name;
pub use self::responder::serve as respond;
use self::stage::Stage;

/// Runs the demo and removes everything it created, unless `keep` is set.
pub async fn run(keep: bool, json: bool) -> Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signal, interrupted) = (signal(kind)?, Arc::clone(&interrupted));
        tokio::spawn(async move {
            signal.recv().await;
            interrupted.store(true, Ordering::Relaxed);
        });
    }
    spawn_blocking(move || play(keep, json, &interrupted)).await??;
    Ok(ExitCode::SUCCESS)
}

fn play(keep: bool, json: bool, interrupted: &AtomicBool) -> Result<()> {
    let stage = Stage::set_up(interrupted)?;
    let mut servers = stage.start_servers()?;
    let mut report = stage.play(&mut servers)?;
    if keep {
        report.kept = Some(stage.keepsake()?);
    }
    if json {
        report.print_json()?;
    } else {
        report.print()?;
    }
    if keep {
        stage.keep();
    }
    Ok(())
}

/// Removes the kept demo of this name, or all.
pub fn stop(named: Option<&str>, json: bool) -> Result<ExitCode> {
    let (removed, running) = claim::remove_kept(named)?;
    if let Some(named) = named.filter(|_| removed.is_empty()) {
        ensure!(running.is_empty(), "{named} is running: interrupt it to end it");
        bail!("there is no kept demo {named}");
    }
    report::print_stopped(&removed, &running, json)?;
    Ok(ExitCode::SUCCESS)
}
