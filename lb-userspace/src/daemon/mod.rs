//! The daemon: one loop that owns the state, and tasks that send it events.

mod backends;
mod clients;
mod clock;
mod commit;
mod events;
mod failover;
mod ids;
mod interfaces;
mod macs;
mod memory;
mod network;
mod panics;
mod passive;
mod privileges;
mod reader;
mod removed;
mod requests;
mod service;
mod sources;
mod standing;
mod state;
mod supervisor;
mod sweeps;
mod sync;
mod transitions;
mod unrouted;
mod views;
mod vips;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::ready,
    net::Ipv4Addr,
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use self::privileges::keep_from_programs;
use self::{
    clients::Clients,
    events::Events,
    interfaces::Interface,
    memory::Memory,
    passive::Refusals,
    reader::{File, Read, Reader},
    requests::Waiting,
    service::Service,
    state::State,
    supervisor::Watchdog,
    sweeps::{Sweep, Sweeps},
    sync::MapSync,
    unrouted::Unrouted,
    vips::Claim,
};
use crate::{
    api,
    config::{Allowed, Checks, Config, Digests, Loaded},
    control::{self, Caller, RefusedReload},
    dataplane::{self, Dataplane, Expiry, FlowCounts},
    desired::{Author, Desired, Document, Step, steps},
    health::{Checker, HealthEvent},
    neighbours::{self, Neighbours, OwnAddresses},
};
use lb_host::{listeners::Listeners, sys::heap};

/// Maximum number of events that wait for the loop.
const BACKLOG: usize = 1_024;

struct Daemon {
    file: PathBuf,
    config: Config,
    started: Timestamp,
    dataplane: Dataplane,
    interfaces: Vec<Interface>,
    /// Addresses of the balancer.
    addresses: OwnAddresses,
    /// Broadcast addresses of its networks.
    broadcasts: BTreeSet<Ipv4Addr>,
    desired: Desired,
    memory: Memory,
    state: State,
    sync: MapSync,
    /// True if the program may not know the MAC addresses of the interfaces.
    are_macs_outdated: bool,
    /// Whether forwarding ends with the daemon.
    is_fleeting: bool,
    /// Error of the last reload of the daemon's own file.
    reload_refused: Option<RefusedReload>,
    /// Conflict of the source ports with this host's own.
    port_clash: Option<String>,
    unrouted: Unrouted,
    /// True if much memory may have been freed.
    is_untidy: bool,
    flow_counts: FlowCounts,
    clients: Clients,
    refusals: Refusals,
    sweeps: Sweeps,
    reader: Reader,
    /// Changes to apply one after the other.
    waiting: VecDeque<Waiting>,
    checker: Checker,
    neighbours: Neighbours,
}

/// Sources of requests to the loop.
struct Commands {
    read: mpsc::Receiver<Read>,
    /// Server of the API, which does not end before the loop.
    server: JoinHandle<()>,
    reload: Signal,
    stop: Signal,
    interrupt: Signal,
}

/// Runs until SIGTERM or SIGINT; forwarding continues afterwards.
pub async fn run(loaded: Loaded, file: PathBuf) -> Result<()> {
    panics::end_process();
    privileges::check()?;
    let (handle, requests) = control::channel(BACKLOG);
    let (health_events, health) = mpsc::channel(BACKLOG);
    let (network_events, network) = mpsc::channel(BACKLOG);
    let (sweeps, swept) = mpsc::channel(1);
    let (told, read) = Reader::channel();
    let listener = api::listen(&loaded.config.api.socket).await?;
    let checker = Checker::new(health_events, &loaded.config.checks.user);
    let neighbours = Neighbours::start(network_events)?;
    let reader = Reader::start(&file, &told)?;
    let mut daemon = Daemon::start(loaded, file, checker, neighbours, reader, sweeps).await?;
    let (teller, program) = mpsc::channel(BACKLOG);
    daemon.dataplane.follow_events(teller)?;
    daemon.follow_refusals();
    let (stopping, stopped) = watch::channel(());
    let watchdog = Watchdog::new();
    let mut events =
        Events { requests, health, network, program, swept, watchdog, upkeep: events::upkeep() };
    let mut commands = Commands {
        read,
        server: tokio::spawn(api::serve(listener, handle, stopped)),
        reload: signal(SignalKind::hangup())?,
        stop: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    supervisor::is_ready();
    log::info!("ready");
    let served = daemon.serve(&mut commands, &mut events).await;
    supervisor::is_stopping();
    daemon.memory.close(&daemon.state, daemon.desired.number());
    served?;
    drop(stopping);
    commands.server.await.context("the API server has failed")?;
    daemon.say_goodbye();
    Ok(())
}

impl Daemon {
    async fn start(
        loaded: Loaded,
        file: PathBuf,
        checker: Checker,
        neighbours: Neighbours,
        reader: Reader,
        sweeps: mpsc::Sender<Sweep>,
    ) -> Result<Self> {
        if loaded.is_roots {
            loaded.check_files()?;
        } else {
            let checks = Checks::default();
            loaded.refuse_foreign(&checks, &Allowed::below(&checks.tls_directories))?;
        }
        dataplane::refuse_other_layouts(&loaded.config.bpffs)?;
        let found = fit(&loaded, &[], &neighbours::local_addresses().await?, None).await?;
        let bpffs = loaded.config.bpffs.clone();
        let fresh = !dataplane::exists(&bpffs);
        let initialized =
            Self::init(loaded, file, found, checker, neighbours, reader, sweeps).await;
        if initialized.is_err() && fresh {
            dataplane::detach(&bpffs, &[]).await.ok();
        }
        initialized
    }

    /// Loads the program, adopts the existing maps and attaches to the interfaces.
    async fn init(
        Loaded { config, digests, .. }: Loaded,
        file: PathBuf,
        found: Vec<Interface>,
        checker: Checker,
        neighbours: Neighbours,
        reader: Reader,
        sweeps: mpsc::Sender<Sweep>,
    ) -> Result<Self> {
        let memory = Memory::start(&config.state_dir)?;
        let (memories, version) = memory.recall();
        let desired = Desired::open(&config.state_dir, version)?;
        let mut dataplane = Dataplane::load(&config.bpffs, &config.limits)?;
        dataplane.follow_messages()?;
        let adopted = dataplane.maps().adopt(&config.limits)?;
        adopted.warn();
        if dataplane.maps().expect_packets(&adopted.image)? {
            log::warn!("the program ignored some addresses in the kernel's maps");
        }
        let addresses = neighbours::local_addresses().await?;
        let broadcasts = BTreeSet::new();
        let own = addresses.iter().map(|(_, address)| address);
        dataplane.maps().set_host_addresses(own, &broadcasts)?;
        macs::refresh(&mut dataplane, &found).await?;
        let interfaces = interfaces::attach(&mut dataplane, found, config.xdp_mode).await?;
        interfaces::detach_others(&mut dataplane, &interfaces)?;
        let (sweeper, hops) = (dataplane.sweeper()?, dataplane.hop_writer()?);
        let mut daemon = Self {
            file,
            started: Timestamp::now(),
            dataplane,
            interfaces,
            addresses,
            broadcasts,
            desired,
            state: State::new(&adopted, memories, &config.limits),
            memory,
            sync: MapSync::new(&adopted, config.limits),
            are_macs_outdated: false,
            is_fleeting: false,
            reload_refused: None,
            port_clash: None,
            unrouted: Unrouted::default(),
            is_untidy: true,
            flow_counts: FlowCounts::default(),
            clients: Clients::default(),
            refusals: Refusals::default(),
            sweeps: Sweeps::start(sweeper, hops, sweeps)?,
            reader,
            waiting: VecDeque::new(),
            checker,
            neighbours,
            config,
        };
        daemon.is_fleeting = !daemon.dataplane.is_lasting();
        daemon.fleeting().iter().for_each(|warning| log::warn!("{warning}"));
        daemon.compare_ports();
        daemon.resume(&digests).await?;
        vips::warn(daemon.document());
        daemon.follow_vips().await;
        Ok(daemon)
    }

    /// Continues with the document of the journal, unless there is none or the services in the
    /// daemon's own file have changed since it was last read.
    async fn resume(&mut self, digests: &Digests) -> Result<()> {
        let from_file = Document::of(self.config.services.clone());
        let Some(kept) = self.desired.document().cloned() else {
            return self.begin(from_file, "loaded", digests).await;
        };
        if digests.are_of(self.desired.file()) {
            return self.begin(kept, "unchanged", digests).await;
        }
        log::warn!(
            "the services in {} have changed since it was last read: they replace those of \
             version {}",
            self.file.display(),
            self.desired.number()
        );
        let document = from_file.with_orders_of(&kept);
        let steps = steps(&kept, &document);
        self.begin(document, "has changed while no daemon was running", digests).await?;
        commit::log_steps(&steps, self.desired.number());
        Ok(())
    }

    async fn begin(&mut self, document: Document, what: &str, digests: &Digests) -> Result<()> {
        let mut state = self.state.clone();
        state.follow(&document.since(&Document::default()))?;
        state.forget_left();
        self.commit(state)?;
        let is_known = self.desired.document() == Some(&document);
        if is_known && digests.are_of(self.desired.file()) {
            return Ok(());
        }
        let author = Author {
            by: "start".to_owned(),
            what: format!("{} {what}", self.file.display()),
            file: Some(digests.kept().to_owned()),
        };
        self.desired.record(document, author).await
    }

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
                _ = commands.reload.recv() => self.reader.reload(),
                happening = events.next(self, 1) => self.on(happening?).await,
                Some(read) = commands.read.recv() => self.on_read(read, events).await,
                () = ready(()), if !self.waiting.is_empty() => self.change(events).await,
            }
        }
    }

    fn say_goodbye(&self) {
        if self.dataplane.is_lasting() {
            log::info!("stopped; forwarding continues until `xdplb detach`");
        } else {
            log::warn!("stopped; forwarding ends with this process's mount namespace");
        }
    }

    /// Returns a warning if the pins are on a file system that only the daemon's mount namespace
    /// has mounted.
    fn fleeting(&self) -> Option<String> {
        let bpffs = self.config.bpffs.display();
        self.is_fleeting.then(|| {
            format!(
                "forwarding ends with the daemon: {bpffs} is a BPF file system of its own mount \
                 namespace, as in `ip netns exec` or a container: mount it on the host, and \
                 bind-mount it for the daemon"
            )
        })
    }

    fn on_health(&mut self, events: Vec<HealthEvent>) {
        let verdicts = events.clone();
        let mut by_service: BTreeMap<String, Vec<HealthEvent>> = BTreeMap::new();
        for event in events {
            by_service.entry(event.service.clone()).or_default().push(event);
        }
        let mut state = self.state.clone();
        for (name, events) in by_service {
            state.change_service(&name, |service| service.apply_health(events));
            let fails_open = |state: &State| state.service(&name).is_some_and(failover::fails_open);
            match (fails_open(&self.state), fails_open(&state)) {
                (false, true) => log::error!("{name}: {}", standing::BELOW_FAIL_OPEN),
                (true, false) => log::warn!("{name}: above fail_open; health checks count again"),
                _ => {}
            }
            let ended = |state: &State| state.service(&name).map_or(0, Service::ended);
            if ended(&state) > ended(&self.state) {
                self.sweeps.hurry();
            }
        }
        self.follow(state);
        self.end_refusals(&verdicts);
        self.follow_refusals();
        self.memory.note();
    }

    fn tidy(&mut self) {
        if std::mem::take(&mut self.is_untidy) {
            heap::give_back();
        }
    }

    /// Applies the services and settings of a file. The administrative state of backends is kept.
    async fn apply_file(
        &mut self,
        file: File,
        by: &Caller,
        events: &mut Events,
    ) -> Result<Vec<Step>> {
        self.is_untidy = true;
        let File { loaded, is_own, listeners } = file;
        self.trust(&loaded, by)?;
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        let found = self.fit(&loaded, &listeners, by).await?;
        self.config.refuse_restart_only(&loaded.config)?;
        let taken_vips = vips::warnings(&self.read_from(&loaded), self.document(), &listeners);
        let mode = loaded.config.xdp_mode;
        let former = self.interfaces.clone();
        // Before the services, which must not appear and disappear again.
        let taken = match interfaces::attach(&mut self.dataplane, found, mode).await {
            Ok(interfaces) => {
                self.interfaces = interfaces;
                self.replace_services(&loaded, is_own, by.name.clone(), events).await
            }
            Err(error) => Err(error),
        };
        let steps = match taken {
            Ok(steps) => steps,
            Err(error) => {
                self.restore_interfaces(former).await;
                return Err(error);
            }
        };
        for warning in &taken_vips {
            log::warn!("{warning}");
        }
        if let Err(error) = interfaces::detach_others(&mut self.dataplane, &self.interfaces) {
            log::error!("cannot detach the program from other interfaces: {error:#}");
        }
        self.refresh_macs().await;
        self.neighbours.tell_again();
        self.config = loaded.config;
        if is_own {
            self.reload_refused = None;
        }
        Ok(steps)
    }

    /// Returns an error for settings that only root may make.
    fn trust(&self, loaded: &Loaded, by: &Caller) -> Result<()> {
        if by.is_root {
            return Ok(());
        }
        loaded.refuse_settings(&self.config)?;
        let allowed = Allowed::by(&self.config, self.document());
        loaded.refuse_foreign(&self.config.checks, &allowed)
    }

    async fn fit(
        &self,
        loaded: &Loaded,
        listeners: &Listeners,
        by: &Caller,
    ) -> Result<Vec<Interface>> {
        let running = Some((self.document(), self.claim(listeners, by)));
        fit(loaded, &self.interfaces, &self.addresses, running).await
    }

    fn claim<'a>(&'a self, listeners: &'a Listeners, by: &Caller) -> Claim<'a> {
        Claim { is_root: by.is_root, forces: by.forces, own: &self.addresses, listeners }
    }

    /// Applies the services of a file.
    async fn replace_services(
        &mut self,
        loaded: &Loaded,
        is_own: bool,
        by: String,
        events: &mut Events,
    ) -> Result<Vec<Step>> {
        let what = format!("{} loaded", loaded.path());
        let file = is_own.then(|| loaded.digests.kept().to_owned());
        self.adopt(self.read_from(loaded), Author { by, what, file }, events).await
    }

    /// Restores the interfaces from before a file that could not be applied.
    async fn restore_interfaces(&mut self, interfaces: Vec<Interface>) {
        self.interfaces.clone_from(&interfaces);
        let mode = self.config.xdp_mode;
        let attached = interfaces::attach(&mut self.dataplane, interfaces, mode).await;
        let restored = attached.and_then(|interfaces| {
            self.interfaces = interfaces;
            interfaces::detach_others(&mut self.dataplane, &self.interfaces)
        });
        if let Err(error) = restored {
            log::error!("cannot restore the interfaces: {error:#}");
        }
    }

    /// Returns the document after applying a file to the current one.
    fn read_from(&self, loaded: &Loaded) -> Document {
        Document::of(loaded.config.services.clone()).with_orders_of(self.document())
    }

    fn expiry(&self) -> Expiry {
        let now = Instant::now();
        let mut expiry = self.state.kernel.retired_expiry();
        for service in self.state.services() {
            expiry.extend(service.expiry(now));
        }
        expiry
    }
}

/// Returns the interfaces of a configuration, or an error with all conflicts with this host, such
/// as VIPs that its servers listen on and the running document does not have.
async fn fit(
    loaded: &Loaded,
    former: &[Interface],
    addresses: &OwnAddresses,
    running: Option<(&Document, Claim<'_>)>,
) -> Result<Vec<Interface>> {
    let mut faults = Vec::new();
    let found = interfaces::find(loaded, former, &mut faults).await?;
    network::find_local_backends(loaded, addresses, &mut faults);
    if let Some((running, claim)) = running {
        vips::find_taken(loaded, running, claim, &mut faults);
    }
    loaded.refuse(faults)?;
    Ok(found)
}
