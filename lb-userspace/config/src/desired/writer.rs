//! The journal's writer thread: a slow disk delays only the change that is being recorded.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use super::journal::{Entry, Journal, JournalSize};

/// Queued orders: one version is recorded at a time, and the journal may be rewritten in between.
const BACKLOG: usize = 2;

/// Size of the journal in bytes: now, and after its last rewrite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) now: u64,
    pub(super) shortest: u64,
}

/// Result of an append, once it is known.
pub(super) type Written = oneshot::Receiver<Result<Lengths>>;

enum Order {
    Append(Entry, oneshot::Sender<Result<Lengths>>),
    Rewrite(Vec<Entry>),
}

/// The writer thread. It ends and closes the journal when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    /// None only while this is dropped.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    /// Size of the journal after the last order.
    size: Arc<Mutex<JournalSize>>,
}

impl Writer {
    pub(super) fn start(journal: Journal) -> io::Result<Self> {
        let (sender, orders) = sync_channel(BACKLOG);
        let size = Arc::new(Mutex::new(journal.size()));
        let told = Arc::clone(&size);
        let mut desk = Desk { shortest: journal.size().bytes, journal, told };
        let work = move || orders.into_iter().for_each(|order| desk.carry_out(order));
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work)?;
        Ok(Self { orders: Some(sender), thread: Some(thread), size })
    }

    pub(super) fn size(&self) -> JournalSize {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an entry to be appended.
    pub(super) fn append(&self, entry: Entry) -> Result<Written> {
        let (sender, written) = oneshot::channel();
        self.give(Order::Append(entry, sender))?;
        Ok(written)
    }

    /// Queues a rewrite with these entries. If it fails, the journal only stays long.
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

/// State of the thread.
struct Desk {
    journal: Journal,
    shortest: u64,
    told: Arc<Mutex<JournalSize>>,
}

impl Desk {
    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Append(entry, sender) => {
                let appended = self.journal.append(entry);
                let now = self.tell_size().bytes;
                let lengths = Lengths { now, shortest: self.shortest };
                // The receiver is gone if the daemon is exiting.
                drop(sender.send(appended.map(|()| lengths)));
            }
            Order::Rewrite(entries) => {
                if let Err(error) = self.journal.rewrite(entries) {
                    log::warn!("{error:#}");
                }
                self.shortest = self.tell_size().bytes;
            }
        }
    }

    fn tell_size(&self) -> JournalSize {
        let size = self.journal.size();
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = size;
        size
    }
}
