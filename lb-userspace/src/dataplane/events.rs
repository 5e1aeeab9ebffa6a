//! What the program tells at once.

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use lb_common::event::Event;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc::Sender,
};

use super::Dataplane;

const EVENTS: &str = "EVENTS";

type Events = AsyncFd<RingBuf<MapData>>;

impl Dataplane {
    /// Passes the program's events on as long as somebody listens; the receiver sees the end of the
    /// task. To be called once, within a tokio runtime.
    pub fn follow_events(&mut self, listener: Sender<Event>) -> Result<()> {
        let map = self.ebpf.take_map(EVENTS).context("the object has no events")?;
        let events = AsyncFd::register_with_interest(RingBuf::try_from(map)?, Interest::READABLE)
            .context("cannot wait for the program's events")?;
        tokio::spawn(async move {
            if let Err(error) = pass_on(events, &listener).await {
                log::error!("cannot read the program's events: {error:#}");
            }
        });
        Ok(())
    }
}

async fn pass_on(mut events: Events, listener: &Sender<Event>) -> Result<()> {
    loop {
        let mut ready = events.readable_mut().await?;
        // What comes after this wakes us again.
        ready.clear_ready();
        while let Some(event) = next(ready.get_inner_mut()) {
            if listener.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The next one that is whole.
fn next(events: &mut RingBuf<MapData>) -> Option<Event> {
    loop {
        let item = events.next()?;
        if let Ok(event) = bytemuck::try_pod_read_unaligned(&item) {
            return Some(event);
        }
    }
}
