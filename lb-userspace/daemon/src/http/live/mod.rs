//! What the status page shows, as events: sampled once a second for all viewers, while there are any.

mod document;
mod frame;
mod patch;
mod rates;
mod sampler;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::{frame::Frame, sampler::Sampler};
use crate::control::Handle;

/// Maximum number of viewers.
const VIEWERS: usize = 16;

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Live {
    /// The last sample; None without viewers.
    frames: watch::Sender<Option<Arc<Frame>>>,
    seats: Arc<Semaphore>,
    has_viewer: Arc<Notify>,
}

impl Live {
    pub(super) fn new() -> Self {
        let (frames, _) = watch::channel(None);
        Self { frames, seats: Arc::new(Semaphore::new(VIEWERS)), has_viewer: Arc::default() }
    }

    /// Returns the events of a viewer, unless there are too many. One that reads slowly gets no queue, but
    /// the whole of the newest sample.
    pub(super) fn view(&self) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<>> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let mut frames = self.frames.subscribe();
        frames.mark_changed();
        self.has_viewer.notify_one();
        Some(stream::unfold((frames, None, seat), async |(mut frames, sent, seat)| {
            let frame = next(&mut frames).await?;
            let event = frame.after(sent);
            Some((Ok(event), (frames, Some(frame.number()), seat)))
        }))
    }

    /// Samples for as long as it is polled.
    pub(super) async fn run(&self, handle: &Handle) -> Infallible {
        let mut sampler = Sampler::default();
        loop {
            while self.frames.receiver_count() == 0 {
                self.has_viewer.notified().await;
            }
            sampler = self.sample(sampler, handle).await;
            self.frames.send_replace(None);
            sampler.rest();
        }
    }

    /// Samples until the last viewer has left.
    async fn sample(&self, mut sampler: Sampler, handle: &Handle) -> Sampler {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.frames.receiver_count() > 0 {
            ticks.tick().await;
            let overview = match handle.overview().await {
                Ok(overview) => overview,
                Err(refusal) => {
                    log::debug!("no sample for the status page: {}", refusal.detail());
                    continue;
                }
            };
            let sampling = spawn_blocking(move || {
                let frame = sampler.next(overview);
                (sampler, frame)
            });
            let Ok((next, frame)) = sampling.await else { return Sampler::default() };
            sampler = next;
            match frame {
                Ok(frame) => drop(self.frames.send_replace(Some(frame))),
                Err(error) => log::warn!("no sample for the status page: {error}"),
            }
        }
        sampler
    }
}

async fn next(frames: &mut watch::Receiver<Option<Arc<Frame>>>) -> Option<Arc<Frame>> {
    loop {
        frames.changed().await.ok()?;
        let frame = frames.borrow_and_update().clone();
        if frame.is_some() {
            return frame;
        }
    }
}
