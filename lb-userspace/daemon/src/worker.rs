//! Threads of the daemon for slow work outside the loop, which nothing else can occupy.

use std::{
    io,
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
};

/// A thread that runs work in order, and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker<W>(SyncSender<W>);

impl<W: Send + 'static> Worker<W> {
    /// Starts a thread. `most` is the maximum length of its queue.
    pub(super) fn start(
        name: &str,
        most: usize,
        mut carry_out: impl FnMut(W) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, work) = sync_channel(most);
        let run = move || work.into_iter().for_each(&mut carry_out);
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self(sender))
    }

    /// Queues work. Returns it if the queue is full.
    pub(super) fn give(&self, work: W) -> Result<(), W> {
        match self.0.try_send(work) {
            // The thread only ends with the process: a panic in it ends both.
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(work)) => Err(work),
        }
    }
}
