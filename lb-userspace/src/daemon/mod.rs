//! The daemon: one loop that owns the state, and the tasks that tell it what happens.

mod backends;
mod changes;
mod ids;
mod interfaces;
mod network;
mod privileges;
mod sources;
mod state;
mod views;
mod walks;

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
};

use self::{
    interfaces::Interface,
    state::State,
    walks::{Walk, Walks},
};
use crate::{
    api,
    arena::Arena,
    config::{self, Config, Loaded},
    control::{self, Request},
    dataplane::{self, Census, Dataplane, Expiry},
    health::{Checker, HealthEvent, Target},
    neighbours::{self, Neighbours, NetworkEvent},
    plan::{self, Image, Wanted},
    ring,
};

/// Events that may wait for the loop.
const BACKLOG: usize = 1_024;

struct Daemon {
    file: PathBuf,
    config: Config,
    started: Timestamp,
    dataplane: Dataplane,
    interfaces: Vec<Interface>,
    state: State,
    arena: Arena,
    /// What the maps hold.
    image: Image,
    census: Census,
    walks: Walks,
    checker: Checker,
    neighbours: Neighbours,
}

/// What the loop listens to.
struct Inputs {
    requests: mpsc::Receiver<Request>,
    health: mpsc::Receiver<HealthEvent>,
    network: mpsc::Receiver<NetworkEvent>,
    walked: mpsc::Receiver<Walk>,
    reload: Signal,
    stop: Signal,
    interrupt: Signal,
}

/// Runs until SIGTERM or SIGINT; packets go on afterwards.
pub async fn run(loaded: Loaded, file: PathBuf) -> Result<()> {
    privileges::check()?;
    let (handle, requests) = control::channel(BACKLOG);
    let (health_events, health) = mpsc::channel(BACKLOG);
    let (network_events, network) = mpsc::channel(BACKLOG);
    let (walks, walked) = mpsc::channel(1);
    let mut inputs = Inputs {
        requests,
        walked,
        health,
        network,
        reload: signal(SignalKind::hangup())?,
        stop: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let listener = api::listen(&loaded.config.api.socket).await?;
    let checker = Checker::new(health_events);
    let neighbours = Neighbours::start(network_events)?;
    let mut daemon = Daemon::start(loaded, file, checker, neighbours, walks).await?;
    let (stopping, stopped) = watch::channel(());
    let server = tokio::spawn(api::serve(listener, handle, stopped));
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        log::debug!("systemd was not told that the daemon is ready: {error}");
    }
    log::info!("ready");
    daemon.serve(&mut inputs).await;
    drop(stopping);
    server.await.context("the API server has failed")??;
    log::info!("stopped; packets go on: `xdplb detach` ends that");
    Ok(())
}

impl Daemon {
    async fn start(
        loaded: Loaded,
        file: PathBuf,
        checker: Checker,
        neighbours: Neighbours,
        walks: mpsc::Sender<Walk>,
    ) -> Result<Self> {
        let found = interfaces::find(&loaded).await?;
        network::refuse_local_backends(&loaded).await?;
        let config = loaded.config;
        let bpffs = config.bpffs.clone();
        let fresh = !dataplane::exists(&bpffs);
        let taken_up = Self::take_up(config, file, found, checker, neighbours, walks).await;
        if taken_up.is_err() && fresh {
            dataplane::detach(&bpffs, &[]).ok();
        }
        taken_up
    }

    /// Loads the program, adopts what is there and attaches to the interfaces.
    async fn take_up(
        config: Config,
        file: PathBuf,
        found: Vec<neighbours::Interface>,
        checker: Checker,
        neighbours: Neighbours,
        walks: mpsc::Sender<Walk>,
    ) -> Result<Self> {
        let mut dataplane = Dataplane::load(&config.bpffs, config.limits.flows)?;
        dataplane.follow_messages()?;
        let image = dataplane.adopt()?;
        let mut arena = Arena::new(lb_common::limits::RING_SLOTS);
        for service in image.services.values() {
            arena.claim(service.ring);
        }
        let interfaces = interfaces::attach(&mut dataplane, found, config.xdp_mode).await?;
        let sweeper = dataplane.sweeper()?;
        let mut daemon = Self {
            file,
            started: Timestamp::now(),
            dataplane,
            interfaces,
            state: State::new(image.clone()),
            arena,
            image,
            census: Census::default(),
            walks: Walks::new(sweeper, walks),
            checker,
            neighbours,
            config,
        };
        let services = daemon.config.services.clone();
        daemon.state.configure(&services)?;
        daemon.commit()?;
        Ok(daemon)
    }

    async fn serve(&mut self, inputs: &mut Inputs) {
        loop {
            tokio::select! {
                biased;
                _ = inputs.stop.recv() => return,
                _ = inputs.interrupt.recv() => return,
                _ = inputs.reload.recv() => self.reload().await,
                Some(event) = inputs.network.recv() => self.on_network(event).await,
                Some(event) = inputs.health.recv() => self.on_health(event),
                Some(request) = inputs.requests.recv() => self.answer(request).await,
                Some(walk) = inputs.walked.recv() => self.on_walked(walk),
                () = self.walks.due() => self.walk(),
            }
        }
    }

    /// Makes kernel, checker and neighbour watch follow the state. If the kernel's maps have no
    /// room for it, nothing is changed.
    fn commit(&mut self) -> Result<()> {
        let services = self.state.services.iter();
        let wanted = services.map(|service| {
            let scheduler = service.spec.scheduler;
            let slots = ring::build(scheduler, &service.members());
            (service.key(), Wanted { id: service.id, scheduler: scheduler.into(), slots })
        });
        let (ops, image) = plan::plan(
            &self.image,
            wanted.collect(),
            self.state.kernel.entries().clone(),
            self.state.kernel.places(),
            &mut self.arena,
            Instant::now(),
        )?;
        self.dataplane.apply(&ops)?;
        self.image = image;
        self.checker.set_targets(self.targets());
        self.neighbours.watch(self.state.backends().map(|b| b.spec.address.ip()).collect());
        Ok(())
    }

    /// As [`Self::commit`], for events that nobody waits for an answer to.
    fn follow(&mut self) {
        if let Err(error) = self.commit() {
            log::error!("the kernel could not be brought up to date: {error:#}");
        }
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for service in &self.state.services {
            let checked = service.backends.iter().filter(|backend| backend.is_checked());
            targets.extend(checked.map(|backend| Target {
                service: service.spec.name.clone(),
                address: backend.spec.address,
                check: service.spec.health,
                initial: backend.health,
            }));
        }
        targets
    }

    fn on_health(&mut self, event: HealthEvent) {
        let HealthEvent { service, address, health, detail, .. } = event;
        let Some(backend) = self.state.backend_mut(&service, address) else {
            return;
        };
        log::info!("{service}: {address} is {health}: {detail}");
        backend.set_health(health, detail);
        self.follow();
    }

    async fn reload(&mut self) {
        let path = self.file.clone();
        match self.try_reload().await {
            Ok(()) => log::info!("{} reloaded", path.display()),
            Err(error) => {
                log::error!("{} not reloaded, nothing changed: {error:#}", path.display());
            }
        }
    }

    async fn try_reload(&mut self) -> Result<()> {
        let loaded = config::load(&self.file)?;
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        network::refuse_local_backends(&loaded).await?;
        let found = interfaces::find(&loaded).await?;
        let config = loaded.config;
        self.config.refuse_restart_only(&config)?;
        let before = self.state.clone();
        let committed = self.state.configure(&config.services).and_then(|()| self.commit());
        if let Err(error) = committed {
            self.state = before;
            return Err(error);
        }
        self.interfaces = interfaces::attach(&mut self.dataplane, found, config.xdp_mode).await?;
        self.config = config;
        Ok(())
    }

    fn expiry(&self) -> Expiry {
        let mut expiry = self.state.kernel.departed_expiry();
        for service in &self.state.services {
            expiry.extend(service.backends.iter().map(|b| (b.id, service.spec.timeouts)));
        }
        expiry
    }
}
