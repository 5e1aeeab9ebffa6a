//! Configuration files, and changes with keys of them, are read beside the loop: a large or faulty
//! one keeps nothing else waiting.

use std::{io, path::Path};

use anyhow::{Error, Result};
use tokio::sync::mpsc;

use super::{Daemon, requests::invalid, worker::Worker};
use crate::{
    config::{self, Loaded},
    control::{Caller, Change, Plan, Proposal, Refusal, Reply, ServiceView},
    desired::{Document, edited},
    model::Policy,
};

/// Texts that have been read and wait for the loop.
const BACKLOG: usize = 8;

/// How often a change is read again because the document has changed meanwhile. After that it is
/// read in the loop, which nothing overtakes.
const ATTEMPTS: u32 = 3;

/// What is to be read, and what for.
pub(super) enum Order {
    /// SIGHUP: the daemon's own file.
    Reload,
    Plan(Proposal, Caller, Reply<Plan>),
    Apply(Proposal, Caller, Reply<Plan>),
    Edit(Box<Edit>),
}

/// A change of a service, and what it is to be made of.
pub(super) struct Edit {
    pub(super) change: Change,
    pub(super) by: Caller,
    pub(super) reply: Reply<Option<ServiceView>>,
    document: Document,
    version: u64,
    defaults: Policy,
    attempts: u32,
}

/// A file that is valid, and whether it is the daemon's own.
pub(super) struct File {
    pub(super) loaded: Loaded,
    pub(super) is_own: bool,
}

/// What has been read.
pub(super) enum Read {
    Reload(Result<File>),
    Plan(Result<File>, Caller, Reply<Plan>),
    Apply(Result<File>, Caller, Reply<Plan>),
    Edit(Box<Edit>, Result<Document, Refusal>),
}

/// Who reads.
pub(super) struct Reader {
    files: Worker<Order>,
    /// Edits are small, and do not wait for large files.
    edits: Worker<Order>,
    /// Whether the daemon's own file is being read.
    is_reloading: bool,
    /// Whether it is to be read once more after that.
    is_outdated: bool,
}

impl Reader {
    /// `own` is the daemon's own file.
    pub(super) fn start(own: &Path, told: &mpsc::Sender<Read>) -> io::Result<Self> {
        let start = |name| {
            let (own, told) = (own.to_owned(), told.clone());
            Worker::start(name, move |order: Order| {
                // Only closed if the daemon is about to end.
                told.blocking_send(order.carry_out(&own)).ok();
            })
        };
        let (files, edits) = (start("files")?, start("edits")?);
        Ok(Self { files, edits, is_reloading: false, is_outdated: false })
    }

    pub(super) fn channel() -> (mpsc::Sender<Read>, mpsc::Receiver<Read>) {
        mpsc::channel(BACKLOG)
    }

    pub(super) fn give(&self, order: Order) {
        match order {
            Order::Edit(_) => self.edits.give(order),
            _ => self.files.give(order),
        }
    }

    /// Reads the daemon's own file, once however often it is asked for meanwhile.
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
    fn carry_out(self, own: &Path) -> Read {
        let read = |Proposal { path, text }| {
            let loaded = config::read(path, text)?;
            Ok(File { is_own: loaded.is_text_of(own), loaded })
        };
        match self {
            Self::Reload => {
                Read::Reload(config::load(own).map(|loaded| File { loaded, is_own: true }))
            }
            Self::Plan(proposal, by, reply) => Read::Plan(read(proposal), by, reply),
            Self::Apply(proposal, by, reply) => Read::Apply(read(proposal), by, reply),
            Self::Edit(edit) => {
                let edited = edited(&edit.document, &edit.change, &edit.defaults);
                Read::Edit(edit, edited)
            }
        }
    }
}

impl Daemon {
    /// Has a change read that brings keys of a file.
    pub(super) fn read_edit(
        &self,
        change: Change,
        by: Caller,
        reply: Reply<Option<ServiceView>>,
        attempts: u32,
    ) {
        self.reader.give(Order::Edit(Box::new(Edit {
            change,
            by,
            reply,
            document: self.document().clone(),
            version: self.desired.number(),
            defaults: self.config.defaults.clone(),
            attempts,
        })));
    }

    pub(super) async fn on_read(&mut self, read: Read) {
        // A client that has hung up meanwhile wants no answer.
        match read {
            Read::Reload(file) => {
                self.reader.has_reloaded();
                self.reload(file).await;
            }
            Read::Plan(file, by, reply) => {
                drop(reply.send(self.plan(file.map_err(invalid), &by).await));
            }
            Read::Apply(file, by, reply) => {
                drop(reply.send(self.apply(file.map_err(invalid), &by).await));
            }
            Read::Edit(edit, edited) => self.on_edit(*edit, edited),
        }
    }

    fn on_edit(&mut self, edit: Edit, edited: Result<Document, Refusal>) {
        let Edit { change, by, reply, version, attempts, .. } = edit;
        let is_current = version == self.desired.number();
        if !is_current && attempts < ATTEMPTS {
            self.read_edit(change, by, reply, attempts + 1);
            return;
        }
        let edited = if is_current { edited } else { self.edited(&change) };
        drop(reply.send(edited.and_then(|edited| self.carry_out(edited, &change, &by))));
    }

    async fn reload(&mut self, file: Result<File, Error>) {
        let path = self.file.clone();
        let taken = match file {
            Ok(file) => {
                let by = Caller { name: "SIGHUP".to_owned(), is_root: file.loaded.is_roots };
                self.take_on(file, &by).await
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(steps) => log::info!("{} reloaded, {} changes", path.display(), steps.len()),
            Err(error) => {
                log::error!("{} not reloaded, nothing changed: {error:#}", path.display());
            }
        }
    }
}
