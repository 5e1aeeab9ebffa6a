//! Start of the daemon, with the maps and the state that an earlier one has left.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use anyhow::Result;
use jiff::Timestamp;
use lb_config::{
    Allowed, Checks, Digests, Loaded,
    desired::{Author, Desired, Document, steps},
};
use lb_dataplane::{
    Dataplane, FlowCounts,
    ring::{Excess, Need},
};
use lb_health::Checker;
use lb_neighbours::Neighbours;
use lb_notify::Notifier;
use tokio::sync::mpsc;

use super::{
    clients::Clients,
    commit,
    connection_log::ConnectionLog,
    daemon::{Checking, Daemon, OwnFile, Queue},
    files::fit,
    flows::Flows,
    groups::{Extension, Groups, LeasedGroups, Roles},
    interfaces::{self, Interface},
    kernel::Kernel,
    macs,
    memory::Memory,
    network::Network,
    passive::Refusals,
    reader::Reader,
    run::Invocation,
    snapshot::Published,
    state::State,
    sweeps::{Sweep, Sweeps},
    tally::Tally,
    vips,
    warnings::excess,
};

/// Tasks beside the loop that run before it.
pub(super) struct Tasks {
    pub(super) checker: Checker,
    pub(super) neighbours: Neighbours,
    pub(super) reader: Reader,
    /// Where sweeps are returned.
    pub(super) sweeps: mpsc::Sender<Sweep>,
    pub(super) connection_log: ConnectionLog,
}

impl Daemon {
    pub(super) async fn start(
        loaded: Loaded,
        invocation: Invocation,
        tasks: Tasks,
    ) -> Result<Self> {
        if loaded.is_roots {
            loaded.check_files()?;
        } else {
            let checks = Checks::default();
            loaded.refuse_foreign(&checks, &[], None, &Allowed::below(&checks.tls_directories))?;
        }
        if let Err(error) = loaded.check_notify() {
            // Forwarding is worth more. Such a program is not run, as each run verifies it again.
            log::warn!("{error:#}");
        }
        lb_dataplane::refuse_other_layouts(&loaded.config.bpffs, invocation.on_other_maps)?;
        let found = fit(&loaded, &[], &lb_neighbours::local_addresses().await?, None).await?;
        let bpffs = loaded.config.bpffs.clone();
        let fresh = !lb_dataplane::exists(&bpffs);
        let initialized = Self::init(loaded, invocation, found, tasks).await;
        if initialized.is_err()
            && fresh
            && lb_dataplane::exists(&bpffs)
            && let Err(error) = lb_dataplane::detach(&bpffs, &[]).await
        {
            log::warn!("cannot undo the start, so run `xdplb detach`: {error:#}");
        }
        initialized
    }

    /// Loads the program, adopts the existing maps, or copies of them with other shapes, and attaches to
    /// the interfaces.
    async fn init(
        loaded: Loaded,
        Invocation { file, on_other_maps }: Invocation,
        found: Vec<Interface>,
        tasks: Tasks,
    ) -> Result<Self> {
        let Tasks { checker, neighbours, reader, sweeps, connection_log } = tasks;
        let memory = Memory::start(&loaded.config.state_dir)?;
        let (memories, version) = memory.recall();
        let desired = Desired::open(&loaded.config.state_dir, version)?;
        if !loaded.digests.are_of(desired.file()) {
            refuse_excess(&loaded, desired.document())?;
        }
        let Loaded { config, digests, .. } = loaded;
        let has_groups = !config.groups.is_empty();
        let mut dataplane =
            Dataplane::load(&config.bpffs, &config.limits, has_groups, on_other_maps)?;
        dataplane.follow_messages()?;
        let leases = dataplane.leases();
        let groups = Arc::new(Groups::numbered(&config.groups, &leases, config.pair.lease));
        let extension = Extension::start(Arc::clone(&leases), &groups, config.pair.lease)?;
        dataplane.set_group_addresses(groups.addresses())?;
        let adopted = dataplane.maps().adopt(&config.limits)?;
        adopted.warn();
        if dataplane.maps().expect_packets(&adopted.image)? {
            log::warn!("the program ignored some addresses in the kernel's maps");
        }
        let addresses = lb_neighbours::local_addresses().await?;
        let own = addresses.iter().map(|(_, address)| address);
        dataplane.maps().set_host_addresses(own, &BTreeSet::new())?;
        macs::refresh(&mut dataplane, &found).await?;
        dataplane.migrate()?;
        let interfaces = interfaces::attach(&mut dataplane, found, config.xdp_mode).await?;
        interfaces::detach_others(&mut dataplane, &interfaces)?;
        let (sweeper, hops) = (dataplane.sweeper()?, dataplane.hop_writer()?);
        let sweeps = Sweeps::start(sweeper, hops, sweeps, connection_log.teller())?;
        let mut daemon = Self {
            started: Timestamp::now(),
            own_file: OwnFile { path: file, refused: None },
            kernel: Kernel::new(dataplane, &adopted, config.limits),
            network: Network::new(interfaces, addresses, neighbours),
            desired,
            state: State::new(&adopted, memories, &config.limits).grouped(Arc::clone(&groups)),
            roles: Roles::new(LeasedGroups::new(groups, leases), extension),
            memory,
            flows: Flows { counts: FlowCounts::default(), clients: Clients::default(), sweeps },
            checking: Checking { checker, refusals: Refusals::default() },
            queue: Queue { reader, waiting: VecDeque::new() },
            tally: Tally::default(),
            notifier: Notifier::new(&config.checks.user),
            connection_log,
            published: Published::default(),
            is_untidy: true,
            config: config.into(),
        };
        let fleeting = daemon.kernel.fleeting(&daemon.config.bpffs);
        if let Some(warning) = fleeting {
            log::warn!("{warning}");
        }
        let ports = daemon.network.compare_ports(&daemon.config.snat_ports);
        daemon.tell_all(ports);
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
            self.own_file.path.display(),
            self.desired.number()
        );
        let document = from_file.with_orders_of(&kept);
        let steps = steps(&kept, &document);
        self.begin(document, "has changed while no daemon was running", digests).await?;
        commit::log_steps(&steps, self.desired.number());
        Ok(())
    }

    async fn begin(&mut self, document: Document, what: &str, digests: &Digests) -> Result<()> {
        let kept = self.desired.document();
        let running = kept.into_iter().flat_map(Document::services);
        let running = running.map(|service| Need::of(service)).sum();
        let is_known = kept == Some(&document);
        let mut state = self.state.clone();
        state.follow(&document.since(&Document::default()))?;
        state.forget_left();
        state.admit(running, &self.config.limits)?;
        if is_known {
            // It ran before: a service that there is no room for must not keep it from starting.
            self.follow(state);
        } else {
            self.commit(state)?;
        }
        if let Some(warning) = excess(&self.state, &self.config.limits) {
            log::warn!("{warning}");
        }
        if is_known && digests.are_of(self.desired.file()) {
            return Ok(());
        }
        let author = Author {
            by: "start".to_owned(),
            what: format!("{} {what}", self.own_file.path.display()),
            file: Some(digests.kept().to_owned()),
        };
        self.desired.record(document, author).await
    }
}

/// Returns an error like that of `check` if a file's new services have no room.
fn refuse_excess(loaded: &Loaded, kept: Option<&Document>) -> Result<()> {
    let running: Need =
        kept.into_iter().flat_map(Document::services).map(|service| Need::of(service)).sum();
    let need: Need = loaded.config.services.iter().map(Need::of).sum();
    let excess = need.excess(running, &loaded.config.limits);
    let fault = excess.map(|Excess { key, message, fix }| loaded.limit_fault(key, &message, &fix));
    loaded.refuse(fault.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use lb_config::Diagnostics;

    use super::*;

    #[test]
    fn services_without_room_are_an_error_of_the_file_unless_they_run_already() {
        let service =
            |nth| format!("[[service]]\nname = \"s{nth}\"\nvip = \"203.0.113.{nth}:80\"\n");
        let text =
            format!("interfaces = [\"eth0\"]\nlimits.services = 1\n{}{}", service(1), service(2));
        let loaded = lb_config::read("lb.toml".to_owned(), text).expect("valid");
        let error = refuse_excess(&loaded, None).expect_err("no room");
        let shown = error.downcast_ref::<Diagnostics>().expect("an error of the file").to_string();
        assert!(shown.contains("lb.toml:2:"), "at the limit: {shown}");
        let running = Document::of(loaded.config.services.clone());
        refuse_excess(&loaded, Some(&running)).expect("they run already");
    }
}
