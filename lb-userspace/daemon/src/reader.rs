//! Reads configuration files, and changes with their keys, outside the loop, which a large or
//! faulty one must not block.

use std::{io, path::Path};

use anyhow::{Error, Result};
use jiff::Timestamp;
use lb_config::{
    Diagnostics, Loaded,
    desired::{Document, edited},
    program_warning,
};
use lb_health::{Fault, Prober};
use lb_model::{
    Change, Event, EventKey, HealthCheck, Policy, Proposal, Refusal,
    views::{Plan, RefusedReload, ServiceView},
};
use lb_notify::Transition;
use tokio::sync::mpsc;

use super::{
    changes::brings_vip, comparison::Comparison, daemon::Daemon, events::Events, refusals::invalid,
    vips, worker::Worker,
};
use crate::control::{Caller, Expected, Reply, Room, Submission, Versioned};
use lb_host::listeners::Listeners;

/// Maximum number of results that wait for the loop.
const BACKLOG: usize = 1;

/// Maximum number of files that wait to be read, for root and for all other users each.
const MOST_FILES: usize = 8;

/// Maximum number of changes of services that wait to be read.
const MOST_EDITS: usize = 64;

/// Number of times that a change is read again because the document has changed in the meantime.
/// After that it is read in the loop, where nothing can change the document.
const ATTEMPTS: u32 = 3;

/// An order to read something.
pub(super) enum Order {
    /// SIGHUP: the daemon's own file.
    Reload,
    Plan(Submission, Reply<Plan>),
    Apply(Submission, Reply<Plan>),
    Edit(Box<Edit>),
    Rollback(Rollback),
}

/// A rollback to an earlier version.
pub(super) struct Rollback {
    pub(super) number: u64,
    pub(super) document: Document,
    pub(super) by: Caller,
    pub(super) reply: Reply<Plan>,
}

/// A change of a service, and its base.
pub(super) struct Edit {
    pub(super) change: Change,
    pub(super) by: Caller,
    pub(super) reply: Reply<Versioned<Option<ServiceView>>>,
    document: Document,
    version: u64,
    defaults: Policy,
    attempts: u32,
    /// Listeners on the VIP that it sets.
    listeners: Listeners,
    /// Warning of its check on this host.
    warning: Option<String>,
}

/// A valid file, which may be the daemon's own.
pub(super) struct File {
    pub(super) loaded: Loaded,
    pub(super) is_own: bool,
    /// Listeners on its VIPs.
    pub(super) listeners: Listeners,
}

impl File {
    fn new(loaded: Loaded, is_own: bool) -> Self {
        let listeners = vips::read(loaded.config.services.iter().map(|one| one.vip.address));
        Self { loaded, is_own, listeners }
    }

    /// Returns an error if files of root's checks, or its programs of notifications, cannot be used. A slow disk
    /// blocks nothing here.
    fn verified(self, is_roots: bool) -> Result<Self> {
        if is_roots {
            self.loaded.check_files()?;
            self.loaded.check_notify()?;
        }
        Ok(self)
    }
}

impl Edit {
    /// Returns an error if files of root's new checks cannot be used. Other users get no error: the
    /// state of the backend shows it later.
    fn refuse_files(&self, document: &Document) -> Result<(), Refusal> {
        let Some(check) = self.new_check(&self.document, document) else { return Ok(()) };
        Prober::verify_files(check).map_err(|Fault { key, message, .. }| {
            let name = self.change.service();
            Refusal::Invalid(format!("{name}: `health.{key}`: {message}"))
        })
    }

    /// Returns true if files must be read to verify the check of the changed service.
    fn reads_files(&self, after: &Document) -> bool {
        let service = after.service(self.change.service());
        service.is_some_and(|service| Prober::reads_files(&service.policy.health))
    }

    /// Returns a warning if this host cannot run the program of a new check.
    fn program_warning(&self, after: &Document) -> Option<String> {
        let of = |document: &Document| {
            document.service(self.change.service()).map(|service| service.policy.health.clone())
        };
        let check = of(after).filter(|check| of(&self.document).as_ref() != Some(check))?;
        program_warning(&check)
    }

    /// Reads the listeners on the VIP that a change sets, if any.
    fn read_listeners(&self, document: &Document) -> Listeners {
        let brings_vip = brings_vip(&self.change);
        let service = document.service(self.change.service()).filter(|_| brings_vip);
        vips::read(service.map(|service| service.vip.address))
    }

    /// Returns a new check by root, whose files must be verified.
    fn new_check<'a>(&self, before: &Document, after: &'a Document) -> Option<&'a HealthCheck> {
        let name = self.change.service();
        let check_of = |document: &'a Document| Some(&document.service(name)?.policy.health);
        let check = check_of(after).filter(|_| self.by.is_root)?;
        let known = before.service(name).map(|service| &service.policy.health);
        (known != Some(check)).then_some(check)
    }
}

/// Result of an order.
pub(super) enum Read {
    Reload(Result<File>),
    Plan(Result<File>, Sender, Reply<Plan>),
    Apply(Result<File>, Sender, Reply<Plan>),
    Edit(Box<Edit>, Result<Document, Refusal>),
    Rollback(Rollback, Listeners),
}

/// Sender of a text, and the text's reservation until the loop is done with it.
pub(super) struct Sender {
    by: Caller,
    _room: Room,
}

/// Threads that read.
pub(super) struct Reader {
    /// Reads the daemon's own file.
    own: Worker<Order>,
    /// Reads root's files, which do not wait for those of other users.
    of_root: Worker<Order>,
    of_others: Worker<Order>,
    /// Reads edits, which are small and do not wait for large files.
    edits: Worker<Order>,
    /// True while the daemon's own file is being read.
    is_reloading: bool,
    /// True if it must be read once more after that.
    is_outdated: bool,
}

impl Reader {
    /// Starts the threads. `own` is the daemon's own file.
    pub(super) fn start(own: &Path, told: &mpsc::Sender<Read>) -> io::Result<Self> {
        let start = |name, most| {
            let (own, told) = (own.to_owned(), told.clone());
            Worker::start(name, most, move |order: Order| {
                if order.is_abandoned() {
                    return;
                }
                if told.blocking_send(order.carry_out(&own)).is_err() {
                    log::debug!("what was read is dropped, as the daemon ends");
                }
            })
        };
        Ok(Self {
            own: start("own file", 1)?,
            of_root: start("root's files", MOST_FILES)?,
            of_others: start("files", MOST_FILES)?,
            edits: start("edits", MOST_EDITS)?,
            is_reloading: false,
            is_outdated: false,
        })
    }

    pub(super) fn channel() -> (mpsc::Sender<Read>, mpsc::Receiver<Read>) {
        mpsc::channel(BACKLOG)
    }

    /// Queues an order; answers with an error if too many wait.
    pub(super) fn give(&self, order: Order) {
        let worker = match &order {
            Order::Reload => &self.own,
            Order::Plan(Submission { by, .. }, _) | Order::Apply(Submission { by, .. }, _) => {
                if by.is_root { &self.of_root } else { &self.of_others }
            }
            Order::Edit(_) | Order::Rollback(_) => &self.edits,
        };
        if let Err(order) = worker.give(order) {
            order.refuse();
        }
    }

    /// Reads the daemon's own file; requests during a read are merged.
    pub(super) fn reload(&mut self) {
        self.is_outdated = self.is_reloading;
        if !self.is_reloading {
            self.is_reloading = true;
            self.give(Order::Reload);
        }
    }

    fn has_reloaded(&mut self) {
        self.is_reloading = false;
        if self.is_outdated {
            self.reload();
        }
    }
}

impl Order {
    /// Returns true if the client has disconnected.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Reload => false,
            Self::Plan(_, reply) | Self::Apply(_, reply) => reply.is_closed(),
            Self::Rollback(rollback) => rollback.reply.is_closed(),
            Self::Edit(edit) => edit.reply.is_closed(),
        }
    }

    fn refuse(self) {
        let busy = Refusal::Busy("the daemon is busy with other requests: try again".to_owned());
        // The client may have disconnected.
        match self {
            Self::Reload => unreachable!("the daemon's own file is read once at a time"),
            Self::Plan(_, reply) | Self::Apply(_, reply) => drop(reply.send(Err(busy))),
            Self::Edit(edit) => drop(edit.reply.send(Err(busy))),
            Self::Rollback(rollback) => drop(rollback.reply.send(Err(busy))),
        }
    }

    fn carry_out(self, own: &Path) -> Read {
        let read = |Proposal { path, text }, by: &Caller| {
            let loaded = lb_config::read(path, text)?;
            let is_own = loaded.is_text_of(own);
            File::new(loaded, is_own).verified(by.is_root)
        };
        match self {
            Self::Reload => {
                let verified = |loaded: Loaded| {
                    let is_roots = loaded.is_roots;
                    File::new(loaded, true).verified(is_roots)
                };
                Read::Reload(lb_config::load(own).and_then(verified))
            }
            Self::Plan(Submission { proposal, by, room }, reply) => {
                Read::Plan(read(proposal, &by), Sender { by, _room: room }, reply)
            }
            Self::Apply(Submission { proposal, by, room }, reply) => {
                Read::Apply(read(proposal, &by), Sender { by, _room: room }, reply)
            }
            Self::Edit(mut edit) => {
                let edited = edited(&edit.document, &edit.change, &edit.defaults);
                let verified = edited.and_then(|document| {
                    edit.refuse_files(&document)?;
                    edit.listeners = edit.read_listeners(&document);
                    edit.warning = edit.program_warning(&document);
                    Ok(document)
                });
                Read::Edit(edit, verified)
            }
            Self::Rollback(rollback) => {
                let vips = rollback.document.services().map(|service| service.vip.address);
                let listeners = vips::read(vips);
                Read::Rollback(rollback, listeners)
            }
        }
    }
}

impl Daemon {
    /// Queues a change with keys of a file.
    pub(super) fn read_edit(
        &self,
        change: Change,
        by: Caller,
        reply: Reply<Versioned<Option<ServiceView>>>,
        attempts: u32,
    ) {
        self.queue.reader.give(Order::Edit(Box::new(Edit {
            change,
            by,
            reply,
            document: self.document().clone(),
            version: self.desired.number(),
            defaults: self.config.defaults.clone(),
            attempts,
            listeners: Listeners::default(),
            warning: None,
        })));
    }

    pub(super) async fn on_read(&mut self, read: Read, events: &mut Events) {
        // The client may have disconnected.
        match read {
            Read::Reload(file) => {
                self.queue.reader.has_reloaded();
                self.reload(file, events).await;
            }
            Read::Plan(.., reply) if reply.is_closed() => self.is_untidy = true,
            Read::Plan(file, sender, reply) => {
                match self.compare(file.map_err(invalid), &sender.by).await {
                    Ok(comparison) => compare(comparison, sender, reply),
                    Err(refusal) => drop(reply.send(Err(refusal))),
                }
            }
            Read::Apply(file, sender, reply) => {
                let applied = self.apply(file.map_err(invalid), &sender.by, events).await;
                self.tell(reply, applied);
            }
            Read::Edit(edit, edited) => self.on_edit(*edit, edited, events).await,
            Read::Rollback(Rollback { reply, .. }, _) if reply.is_closed() => {}
            Read::Rollback(Rollback { number, by, reply, .. }, listeners) => {
                let rolled_back = self.rollback(number, &by, &listeners, events).await;
                self.tell(reply, rolled_back);
            }
        }
    }

    async fn on_edit(
        &mut self,
        edit: Edit,
        edited: Result<Document, Refusal>,
        events: &mut Events,
    ) {
        let is_current = edit.version == self.desired.number();
        if !is_current && edit.attempts < ATTEMPTS {
            let Edit { change, by, reply, attempts, .. } = edit;
            self.read_edit(change, by, reply, attempts + 1);
            return;
        }
        let edited =
            if is_current { edited } else { self.edited_again(&edit, edited.as_ref().ok()) };
        let Edit { change, by, reply, listeners, warning, .. } = edit;
        let mut changed = self.carry_out(edited, &change, &by, &listeners, events).await;
        if let Ok(Versioned { value: Some(view), .. }) = &mut changed {
            view.warnings.extend(warning);
        }
        self.tell(reply, changed);
    }

    /// Applies an edit to the current document without reading files: a check that needs some must
    /// have been verified before.
    fn edited_again(&self, edit: &Edit, verified: Option<&Document>) -> Result<Document, Refusal> {
        let edited = self.edited(&edit.change)?;
        let before = verified.unwrap_or(self.document());
        let is_verified = [before, self.document()]
            .into_iter()
            .any(|before| edit.new_check(before, &edited).is_none());
        if is_verified {
            return Ok(edited);
        }
        if edit.reads_files(&edited) {
            return Err(Refusal::Busy("the configuration keeps changing: try again".to_owned()));
        }
        edit.refuse_files(&edited)?;
        Ok(edited)
    }

    async fn reload(&mut self, file: Result<File, Error>, events: &mut Events) {
        let path = self.own_file.path.clone();
        let taken = match file {
            Ok(file) => {
                let is_root = file.loaded.is_roots;
                let by = Caller {
                    name: "SIGHUP".to_owned(),
                    is_root,
                    forces: false,
                    expected: Expected::Any,
                    is_dry_run: false,
                };
                self.apply_file(file, &by, events).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(applied) => {
                self.tally.reloads += 1;
                let reloaded = Transition::new(Event::Reloaded)
                    .with(EventKey::File, path.display().to_string())
                    .with(EventKey::Changes, applied.steps.len());
                self.tell_all([reloaded]);
            }
            Err(error) => {
                self.tally.refused_reloads += 1;
                let reason = match error.downcast_ref::<Diagnostics>() {
                    Some(diagnostics) => {
                        log::error!("{diagnostics}");
                        diagnostics.summary().to_owned()
                    }
                    None => format!("{error:#}"),
                };
                let refused = Transition::new(Event::ReloadRefused)
                    .with(EventKey::File, path.display().to_string())
                    .with(EventKey::Reason, reason.as_str());
                self.tell_all([refused]);
                self.own_file.refused = Some(RefusedReload { at: Timestamp::now(), reason });
            }
        }
    }
}

/// Compares outside the loop. The sender's reservation is held until that is done.
fn compare(comparison: Comparison, sender: Sender, reply: Reply<Plan>) {
    tokio::task::spawn_blocking(move || {
        drop(reply.send(Ok(comparison.plan())));
        drop(sender);
    });
}

#[cfg(test)]
mod tests;
