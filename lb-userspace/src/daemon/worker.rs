//! Threads of the daemon's own. What takes long is done beside the loop, and by a thread that
//! nothing else can keep busy.

use std::{
    io,
    sync::mpsc::{Sender, channel},
    thread,
};

/// A thread that does one piece of work after another, and ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker<W>(Sender<W>);

impl<W: Send + 'static> Worker<W> {
    pub(super) fn start(
        name: &str,
        mut carry_out: impl FnMut(W) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, work) = channel();
        let run = move || work.into_iter().for_each(&mut carry_out);
        thread::Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self(sender))
    }

    pub(super) fn give(&self, work: W) {
        // The thread only ends with the process: a panic in it ends both.
        self.0.send(work).ok();
    }
}
