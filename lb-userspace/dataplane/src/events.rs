//! What the program tells by its ring buffers.

use std::{os::fd::AsFd as _, thread};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData, RingBuf};
use bytemuck::Pod;
use lb_common::{
    ended::{Ended, Wanted},
    event::Event,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::mpsc::Sender;

use super::{Dataplane, object::map_mut};

pub(crate) const EVENTS: &str = "EVENTS";

/// Ring buffer of the connections that the program has removed.
pub(crate) const ENDED: &str = "ENDED";

pub(crate) const ENDS_WANTED: &str = "ENDS_WANTED";

type Ring = RingBuf<MapData>;

impl Dataplane {
    /// Forwards the program's events from a thread until the listener is closed. The channel is
    /// closed if the thread ends. Call only once.
    pub fn follow_events(&mut self, listener: Sender<Event>) -> Result<()> {
        self.follow("events", EVENTS, move |event| listener.blocking_send(event).is_ok())
    }

    /// Tells of the ends of connections from a thread. Call only once.
    pub fn follow_ends(&mut self, tell: impl Fn(Ended) + Send + 'static) -> Result<()> {
        self.follow("ends of connections", ENDED, move |ended| {
            tell(ended);
            true
        })
    }

    /// Sets what the program tells of the ends of connections.
    pub fn want_ends(&mut self, wanted: &Wanted) -> Result<()> {
        let mut map: Array<_, Wanted> = map_mut(&mut self.ebpf, ENDS_WANTED)?.try_into()?;
        map.set(0, wanted, 0).with_context(|| format!("cannot write {ENDS_WANTED}"))
    }

    /// Tells what is in a ring buffer from a thread, as long as `tell` returns true.
    fn follow<T: Pod>(
        &mut self,
        what: &'static str,
        name: &'static str,
        tell: impl Fn(T) -> bool + Send + 'static,
    ) -> Result<()> {
        let map = self.ebpf.take_map(name).with_context(|| format!("the object has no {name}"))?;
        let ring = RingBuf::try_from(map)?;
        let follow = move || {
            if let Err(error) = pass_on(ring, tell) {
                log::error!("cannot read the program's {what}: {error:#}");
            }
        };
        thread::Builder::new().name(name.to_lowercase()).spawn(follow)?;
        Ok(())
    }
}

fn pass_on<T: Pod>(mut ring: Ring, tell: impl Fn(T) -> bool) -> Result<()> {
    loop {
        wait_for(&ring)?;
        while let Some(item) = ring.next() {
            // One of another version, which was left in the pinned buffer, has another size.
            let Ok(item) = bytemuck::try_pod_read_unaligned(&item) else { continue };
            if !tell(item) {
                return Ok(());
            }
        }
    }
}

fn wait_for(ring: &Ring) -> Result<()> {
    let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for the next one"),
    }
}
