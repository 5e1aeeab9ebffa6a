//! Events of the program.

use std::{os::fd::AsFd as _, thread};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use lb_common::event::Event;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::mpsc::Sender;

use super::Dataplane;

pub(crate) const EVENTS: &str = "EVENTS";

type Events = RingBuf<MapData>;

impl Dataplane {
    /// Forwards the program's events from a thread until the listener is closed. The channel is
    /// closed if the thread ends. Call only once.
    pub fn follow_events(&mut self, listener: Sender<Event>) -> Result<()> {
        let map = self.ebpf.take_map(EVENTS).context("the object has no ring buffer of events")?;
        let events = RingBuf::try_from(map)?;
        let follow = move || {
            if let Err(error) = pass_on(events, &listener) {
                log::error!("cannot read the program's events: {error:#}");
            }
        };
        thread::Builder::new().name("events".to_owned()).spawn(follow)?;
        Ok(())
    }
}

fn pass_on(mut events: Events, listener: &Sender<Event>) -> Result<()> {
    loop {
        wait_for(&events)?;
        while let Some(event) = next(&mut events)? {
            if listener.blocking_send(event).is_err() {
                return Ok(());
            }
        }
    }
}

fn wait_for(events: &Events) -> Result<()> {
    let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for the next one"),
    }
}

fn next(events: &mut Events) -> Result<Option<Event>> {
    let Some(item) = events.next() else { return Ok(None) };
    let event = bytemuck::try_pod_read_unaligned(&item);
    event.map(Some).map_err(|error| anyhow::anyhow!("one has {} bytes: {error}", item.len()))
}
