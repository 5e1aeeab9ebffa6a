//! Configuration files, with all of their settings.

use anyhow::Result;
use lb_config::{
    Allowed, Loaded,
    desired::{Author, Document},
};
use lb_host::listeners::Listeners;
use lb_model::views::Step;
use lb_neighbours::OwnAddresses;

use super::{
    commit::log_settings,
    control::Caller,
    daemon::Daemon,
    events::Events,
    interfaces::{self, Interface},
    network,
    reader::File,
    vips::{self, Claim},
};

/// A file that was applied.
pub(super) struct Applied {
    /// Changes of settings and services.
    pub(super) steps: Vec<Step>,
    /// Warnings of servers on this host whose clients its VIPs take.
    pub(super) taken: Vec<String>,
}

impl Daemon {
    /// Applies the services and settings of a file. The administrative state of backends is kept.
    pub(super) async fn apply_file(
        &mut self,
        file: File,
        by: &Caller,
        events: &mut Events,
    ) -> Result<Applied> {
        self.is_untidy = true;
        let File { mut loaded, is_own, listeners } = file;
        loaded.keep_hidden(&self.config.notify)?;
        self.trust(&loaded, by)?;
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        let found = self.fit(&loaded, &listeners, by).await?;
        self.config.refuse_restart_only(&loaded.config)?;
        let document = self.read_from(&loaded);
        let taken = vips::warnings(&document, self.document(), &listeners);
        let mode = loaded.config.xdp_mode;
        let former = self.network.interfaces.clone();
        // Before the services, which must not appear and disappear again.
        let applied = match interfaces::attach(&mut self.kernel.dataplane, found, mode).await {
            Ok(interfaces) => {
                self.tell_all(interfaces::changes_of_mode(&former, &interfaces));
                self.network.interfaces = interfaces;
                let what = format!("{} loaded", loaded.path());
                let file = is_own.then(|| loaded.digests.kept().to_owned());
                self.adopt(document, Author { by: by.name.clone(), what, file }, events).await
            }
            Err(error) => Err(error),
        };
        let of_services = match applied {
            Ok(steps) => steps,
            Err(error) => {
                self.restore_interfaces(former).await;
                return Err(error);
            }
        };
        let taken = vips::told(&taken);
        if let Err(error) =
            interfaces::detach_others(&mut self.kernel.dataplane, &self.network.interfaces)
        {
            log::error!("cannot detach the program from other interfaces: {error:#}");
        }
        self.refresh_macs().await;
        self.network.neighbours.tell_again();
        self.notifier.set(&loaded.config.notify);
        let mut steps = self.config.steps_to(&loaded.config);
        log_settings(&steps);
        steps.extend(of_services);
        self.config = loaded.config.into();
        self.log_connections();
        if is_own {
            self.own_file.refused = None;
        }
        Ok(Applied { steps, taken })
    }

    /// Follows the settings of the connection log.
    pub(super) fn log_connections(&mut self) {
        let settings = self.config.connection_log.as_ref();
        self.connection_log.set(settings, &mut self.kernel.dataplane);
    }

    /// Returns an error for settings that only root may make.
    pub(super) fn trust(&self, loaded: &Loaded, by: &Caller) -> Result<()> {
        if by.is_root {
            return Ok(());
        }
        loaded.refuse_settings(&self.config)?;
        let allowed = Allowed::by(&self.config, self.document());
        loaded.refuse_foreign(
            &self.config.checks,
            &self.config.notify,
            self.config.connection_log.as_ref(),
            &allowed,
        )
    }

    pub(super) async fn fit(
        &self,
        loaded: &Loaded,
        listeners: &Listeners,
        by: &Caller,
    ) -> Result<Vec<Interface>> {
        let running = Some((self.document(), self.claim(listeners, by)));
        fit(loaded, &self.network.interfaces, &self.network.addresses, running).await
    }

    pub(super) fn claim<'a>(&'a self, listeners: &'a Listeners, by: &Caller) -> Claim<'a> {
        Claim { is_root: by.is_root, forces: by.forces, own: &self.network.addresses, listeners }
    }

    /// Restores the interfaces from before a file that could not be applied.
    async fn restore_interfaces(&mut self, interfaces: Vec<Interface>) {
        self.network.interfaces.clone_from(&interfaces);
        let mode = self.config.xdp_mode;
        let attached = interfaces::attach(&mut self.kernel.dataplane, interfaces, mode).await;
        let restored = attached.and_then(|interfaces| {
            self.network.interfaces = interfaces;
            interfaces::detach_others(&mut self.kernel.dataplane, &self.network.interfaces)
        });
        if let Err(error) = restored {
            log::error!("cannot restore the interfaces: {error:#}");
        }
    }

    /// Returns the document after applying a file to the current one.
    pub(super) fn read_from(&self, loaded: &Loaded) -> Document {
        Document::of(loaded.config.services.clone()).with_orders_of(self.document())
    }
}

/// Returns the interfaces of a configuration, or an error with all conflicts with this host, such
/// as VIPs that its servers listen on and the running document does not have.
pub(super) async fn fit(
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
