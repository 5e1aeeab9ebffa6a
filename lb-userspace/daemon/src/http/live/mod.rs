//! What the status page shows, as events: sampled once a second for all viewers, while there are any.

mod change;
mod document;
mod rates;
mod sampler;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::{
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::sampler::{Sample, Sampler};
use super::places::Places;
use crate::control::Handle;

/// Maximum number of viewers.
const VIEWERS: usize = 16;

/// Time for which a viewer is not disconnected for another one. Browsers connect again.
const KEPT: Duration = Duration::from_mins(1);

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Live {
    /// The last sample; None without viewers.
    samples: watch::Sender<Option<Arc<Sample>>>,
    places: Places,
    has_viewer: Arc<Notify>,
}

impl Live {
    pub(super) fn new() -> Self {
        let (samples, _) = watch::channel(None);
        Self { samples, places: Places::new(VIEWERS, KEPT), has_viewer: Arc::default() }
    }

    /// Returns the events of a viewer, unless there are too many. One that reads slowly gets no queue, but
    /// the whole of the newest sample.
    pub(super) fn view(&self) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + use<>> {
        let place = self.places.take()?;
        let mut samples = self.samples.subscribe();
        samples.mark_changed();
        self.has_viewer.notify_one();
        Some(stream::unfold((samples, None, place), async |(mut samples, sent, place)| {
            let sample = next(&mut samples).await.filter(|_| !place.is_lost())?;
            let is_next = sent.is_some_and(|sent| sent + 1 == sample.number);
            let event = if is_next { &sample.change } else { &sample.whole };
            Some((Ok(event.clone()), (samples, Some(sample.number), place)))
        }))
    }

    /// Samples for as long as it is polled.
    pub(super) async fn run(&self, handle: &Handle) -> Infallible {
        let mut sampler = Sampler::default();
        loop {
            while self.samples.receiver_count() == 0 {
                self.has_viewer.notified().await;
            }
            sampler = self.sample(sampler, handle).await;
            self.samples.send_replace(None);
            sampler.rest();
        }
    }

    /// Samples until the last viewer has left.
    async fn sample(&self, mut sampler: Sampler, handle: &Handle) -> Sampler {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.samples.receiver_count() > 0 {
            ticks.tick().await;
            let overview = match handle.overview().await {
                Ok(overview) => overview,
                Err(refusal) => {
                    log::debug!("no sample for the status page: {}", refusal.detail());
                    continue;
                }
            };
            let sampling = spawn_blocking(move || {
                let sample = sampler.next(overview);
                (sampler, sample)
            });
            let Ok((next, sample)) = sampling.await else { return Sampler::default() };
            sampler = next;
            match sample {
                Ok(sample) => drop(self.samples.send_replace(Some(Arc::new(sample)))),
                Err(error) => log::warn!("no sample for the status page: {error}"),
            }
        }
        sampler
    }
}

async fn next(samples: &mut watch::Receiver<Option<Arc<Sample>>>) -> Option<Arc<Sample>> {
    loop {
        samples.changed().await.ok()?;
        let sample = samples.borrow_and_update().clone();
        if sample.is_some() {
            return sample;
        }
    }
}
