//! The loop.

use std::{future::ready, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, bail};
use lb_config::Loaded;
use lb_dataplane::OnOtherMaps;
use lb_health::Checker;
use lb_neighbours::Neighbours;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};

use super::{
    BACKLOG, api,
    connection_log::ConnectionLog,
    control,
    daemon::Daemon,
    events::{self, Events},
    explain::Explainer,
    http, panics, privileges,
    reader::{Read, Reader},
    start::Tasks,
    supervisor::{self, Watchdog},
    viewer::Viewer,
};

/// Sources of requests to the loop.
struct Commands {
    read: mpsc::Receiver<Read>,
    /// Servers of the API and of HTTP, which do not end before the loop.
    server: JoinHandle<()>,
    reload: Signal,
    stop: Signal,
    interrupt: Signal,
}

/// What the command line says.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The configuration file.
    pub file: PathBuf,
    pub on_other_maps: OnOtherMaps,
}

/// Runs until SIGTERM or SIGINT; forwarding continues afterwards.
pub async fn run(loaded: Loaded, invocation: Invocation) -> Result<()> {
    panics::end_process();
    // A file that may grow no further is an error of the write, not the end of the daemon.
    drop(signal(SignalKind::from_raw(libc::SIGXFSZ))?);
    privileges::check()?;
    let (connection_log, ends) = ConnectionLog::new();
    let (handle, requests, questions) = control::channel(BACKLOG);
    let handle = handle.telling(connection_log.teller());
    let (health_events, health) = mpsc::channel(BACKLOG);
    let (network_events, network) = mpsc::channel(BACKLOG);
    let (sweeps, swept) = mpsc::channel(1);
    let (told, read) = Reader::channel();
    let listener = api::listen(&loaded.config.api.socket).await?;
    let settings = loaded.config.api.clone();
    let checker = Checker::new(health_events, &loaded.config.checks.user);
    let neighbours = Neighbours::start(network_events)?;
    let reader = Reader::start(&invocation.file, &told)?;
    let tasks = Tasks { checker, neighbours, reader, sweeps, connection_log };
    let starting = Daemon::start(loaded, invocation, tasks);
    let mut daemon = Box::pin(starting).await?;
    let (teller, program) = mpsc::channel(BACKLOG);
    daemon.kernel.dataplane.follow_events(teller)?;
    daemon.follow_refusals();
    daemon.publish();
    let snapshots = daemon.published.subscribe();
    daemon.connection_log.start(ends, snapshots.clone())?;
    // Before the ends that were left in the ring buffer.
    daemon.log_connections();
    let teller = daemon.connection_log.teller();
    daemon.kernel.dataplane.follow_ends(move |ended| teller.tell_in_time(ended))?;
    let variants = daemon.kernel.dataplane.variants();
    let explainer = Explainer::new(variants.clone());
    let counters = Arc::clone(&daemon.kernel.counters);
    Viewer { snapshots: snapshots.clone(), counters, variants, explainer: explainer.clone() }
        .start(questions)?;
    let (stopping, stopped) = watch::channel(());
    let watchdog = Watchdog::new();
    let mut events = Events {
        requests,
        health,
        network,
        program,
        swept,
        watchdog,
        upkeep: events::upkeep(),
        roles: events::roles(),
    };
    let mut commands = Commands {
        read,
        server: tokio::spawn(async move {
            let on_socket = api::serve(listener, handle.clone(), stopped.clone());
            tokio::join!(on_socket, http::serve(&settings, handle, snapshots, stopped));
        }),
        reload: signal(SignalKind::hangup())?,
        stop: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    // What was so before is no change.
    daemon.notifier.set(&daemon.config.notify);
    supervisor::is_ready();
    log::info!("ready");
    tokio::spawn(explainer.prepare());
    let served = daemon.serve(&mut commands, &mut events).await;
    daemon.end_trace();
    supervisor::is_stopping();
    daemon.roles.close();
    daemon.memory.close(&daemon.state, daemon.desired.last_number());
    daemon.finish_sweep(&mut events).await;
    daemon.connection_log.close().await;
    daemon.notifier.close().await;
    served?;
    drop(stopping);
    commands.server.await.context("the API server has failed")?;
    daemon.kernel.say_goodbye();
    Ok(())
}

impl Daemon {
    /// Serves until a signal stops the daemon. Returns an error if a task ends that should last as
    /// long as the loop.
    async fn serve(&mut self, commands: &mut Commands, events: &mut Events) -> Result<()> {
        loop {
            tokio::select! {
                biased;
                _ = commands.stop.recv() => return Ok(()),
                _ = commands.interrupt.recv() => return Ok(()),
                ended = &mut commands.server => {
                    ended.context("the API server has failed")?;
                    bail!("the API server has ended");
                }
                _ = commands.reload.recv() => self.queue.reader.reload(),
                happening = events.next(self, 1) => self.on(happening?).await,
                Some(read) = commands.read.recv() => self.on_read(read, events).await,
                () = ready(()), if !self.queue.waiting.is_empty() => self.change(events).await,
            }
            self.publish();
        }
    }
}
