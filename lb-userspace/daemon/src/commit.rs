//! Applies states to the kernel's maps, the checks and the neighbours.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use anyhow::Result;
use lb_config::desired::{Author, Document, steps};
use lb_model::{Event, EventKey, views::Step};
use lb_notify::Transition;

use super::{
    daemon::Daemon,
    events::{Events, MOST_WAITING},
    service::Service,
    state::State,
    transitions,
};

/// Maximum number of changes of a version that are logged; the history has all.
const LOGGED: usize = 20;

impl Daemon {
    pub(super) fn document(&self) -> &Document {
        self.desired.document().unwrap_or_else(|| unreachable!("there is one from the start on"))
    }

    /// Applies a document atomically: to the kernel, then to the journal. Events are handled while
    /// the disk is slow.
    pub(super) async fn adopt(
        &mut self,
        document: Document,
        author: Author,
        events: &mut Events,
    ) -> Result<Vec<Step>> {
        let document = self.desired.shared(document);
        let before = self.document();
        let difference = document.since(before);
        let steps = steps(before, &document);
        let is_read = author.file.is_none() || author.file.as_deref() == self.desired.file();
        if difference.is_empty() && is_read {
            return Ok(steps);
        }
        let former = self.state.clone();
        let mut next = former.clone();
        next.follow(&difference)?;
        next.admit(former.need(), &self.config.limits)?;
        let committed = next.clone();
        self.commit(next)?;
        let (by, change) = (author.by.clone(), author.what.clone());
        if let Err(error) = self.record(document, author, events).await {
            log::error!(by, change, reason:% = format!("{error:#}"); "change undone");
            self.follow(self.state.without(&difference, former, &committed));
            self.network.neighbours.tell_again();
            return Err(error);
        }
        let changed = Transition::new(Event::ConfigChanged)
            .with(EventKey::By, by)
            .with(EventKey::Change, change)
            .with(EventKey::Version, self.desired.number());
        self.tell_all([changed]);
        self.memory.note();
        log_steps(&steps, self.desired.number());
        Ok(steps)
    }

    async fn record(
        &mut self,
        document: Document,
        author: Author,
        events: &mut Events,
    ) -> Result<()> {
        let mut recording = self.desired.begin(document, author)?;
        // Not earlier: what is not recorded yet must not be seen under the version before.
        self.publish();
        let kept = loop {
            tokio::select! {
                biased;
                kept = recording.kept() => break kept?,
                happening = events.next(self, MOST_WAITING) => {
                    self.on(happening?).await;
                    self.publish();
                },
            }
        };
        self.desired.finish(recording, kept);
        Ok(())
    }

    /// Applies a state to kernel, checks and neighbours, and makes it the daemon's. Nothing is
    /// changed if the kernel's maps have no room for it.
    pub(super) fn commit(&mut self, next: State) -> Result<()> {
        let renewed = next.renewed_since(&self.state);
        self.pass_refusals(&renewed);
        if let Err(error) = self.kernel.commit(&self.state.goal(), &next.goal()) {
            for (_, id) in &renewed {
                self.kernel.dataplane.end_refusals(*id);
            }
            return Err(error);
        }
        self.checking.refusals.renew(&renewed);
        self.settle(next);
        Ok(())
    }

    /// Like [`Self::commit`], for events without a reply. The state is updated even if the kernel
    /// cannot follow yet.
    pub(super) fn follow(&mut self, next: State) {
        let renewed = next.renewed_since(&self.state);
        self.pass_refusals(&renewed);
        self.kernel.follow(&self.state.goal(), &next.goal());
        self.checking.refusals.renew(&renewed);
        self.settle(next);
        self.publish();
    }

    /// Retries to apply the state to the kernel.
    pub(super) fn catch_up(&mut self) {
        if self.kernel.sync.is_behind() {
            self.follow(self.state.clone());
        }
    }

    /// Logs transitions, and notifies of them.
    pub(super) fn tell_all(&mut self, transitions: impl IntoIterator<Item = Transition>) {
        transitions.into_iter().for_each(|transition| self.notifier.tell(&transition));
    }

    fn settle(&mut self, next: State) {
        let former = std::mem::replace(&mut self.state, next);
        let spec = |state: &State, name: &str| state.service(name).map(|one| Arc::clone(&one.spec));
        let mut changed = self.state.touched_since(&former);
        self.tell_all(transitions::between(&former, &self.state, &changed));
        self.tally.note(&former, &self.state, &changed);
        changed.retain(|name| spec(&former, name) != spec(&self.state, name));
        if !changed.is_empty() {
            self.watch(&former, &changed);
        }
    }

    /// Updates checks and neighbours of these services. An address that moves between services is
    /// watched without a gap.
    fn watch(&mut self, former: &State, changed: &[String]) {
        let targets = |name: &String| {
            let targets = self.state.service(name).map(Service::targets);
            (name.clone(), targets.unwrap_or_default())
        };
        self.checking.checker.set_services(changed.iter().map(targets).collect::<Vec<_>>());
        for name in changed.iter().filter(|name| self.state.service(name).is_none()) {
            self.checking.checker.remove_service(name);
        }
        let mut gone = Vec::new();
        for name in changed {
            let (before, now) =
                (addresses(former.service(name)), addresses(self.state.service(name)));
            now.difference(&before).for_each(|one| self.network.neighbours.watch(one.ip()));
            gone.extend(before.difference(&now).map(SocketAddr::ip));
        }
        for address in gone {
            self.network.neighbours.forget(address);
        }
    }
}

/// Logs the changes of a version.
pub(super) fn log_steps(steps: &[Step], version: u64) {
    for step in steps.iter().take(LOGGED) {
        log::info!(version, change:% = step; "part of a change");
    }
    if let Some(changes) = steps.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        log::info!(version, changes; "more parts of a change: `xdplb history {version}`");
    }
}

/// Logs changes of settings, which have no version.
pub(super) fn log_settings(steps: &[Step]) {
    for step in steps {
        log::info!(change:% = step; "setting changed");
    }
}

fn addresses(service: Option<&Service>) -> HashSet<SocketAddr> {
    let backends = service.into_iter().flat_map(|service| &service.backends);
    backends.map(|backend| backend.spec.address).collect()
}
