//! The journal's own thread: a slow disk holds up the change that it is to keep, and nothing else.

use std::{
    io,
    sync::mpsc::{SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use super::journal::{Entry, Journal};

/// Orders that may wait: one version is recorded at a time, and the journal shortened in between.
const BACKLOG: usize = 2;

/// Bytes of the journal: as it is, and when it was last rewritten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) now: u64,
    pub(super) shortest: u64,
}

/// What has become of an entry, once that is known.
pub(super) type Written = oneshot::Receiver<Result<Lengths>>;

enum Order {
    Append(Entry, oneshot::Sender<Result<Lengths>>),
    Rewrite(Vec<Entry>),
}

/// The thread, which ends, and leaves the journal, when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    /// Nothing only while it is dropped.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(journal: Journal) -> io::Result<Self> {
        let (sender, orders) = sync_channel(BACKLOG);
        let mut desk = Desk { shortest: journal.length(), journal };
        let work = move || orders.into_iter().for_each(|order| desk.carry_out(order));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok(Self { orders: Some(sender), thread: Some(thread) })
    }

    /// Has an entry appended.
    pub(super) fn append(&self, entry: Entry) -> Result<Written> {
        let (sender, written) = oneshot::channel();
        self.give(Order::Append(entry, sender))?;
        Ok(written)
    }

    /// Has all entries replaced by these. A journal that cannot be rewritten is only long.
    pub(super) fn rewrite(&self, entries: Vec<Entry>) -> Result<()> {
        self.give(Order::Rewrite(entries))
    }

    fn give(&self, order: Order) -> Result<()> {
        let given = self.orders.as_ref().and_then(|orders| orders.try_send(order).ok());
        given.context("the journal is still being written")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.orders.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            log::error!("the journal's thread has panicked");
        }
    }
}

/// What the thread works on.
struct Desk {
    journal: Journal,
    shortest: u64,
}

impl Desk {
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Append(entry, sender) => {
                let appended = self.journal.append(entry);
                let lengths = Lengths { now: self.journal.length(), shortest: self.shortest };
                // Nobody waits any more if the daemon ends.
                drop(sender.send(appended.map(|()| lengths)));
            }
            Order::Rewrite(entries) => {
                if let Err(error) = self.journal.rewrite(entries) {
                    log::warn!("{error:#}");
                }
                self.shortest = self.journal.length();
            }
        }
    }
}
