//! Makes frames, each from the state at a moment and the counters of the one before.

use std::{sync::Arc, time::Instant};

use lb_model::views::Stats;

use super::{document, frame::Frame, rates::Recent};
use crate::overview::Overview;

#[derive(Default)]
pub(super) struct Sampler {
    number: u64,
    last: Option<Sample>,
}

struct Sample {
    at: Instant,
    stats: Stats,
    frame: Arc<Frame>,
}

impl Sampler {
    pub(super) fn next(&mut self, overview: Overview) -> serde_json::Result<Arc<Frame>> {
        let (at, stats) = (Instant::now(), all_stats(&overview));
        let last = self.last.take();
        let recent = last.as_ref().map(|last| Recent {
            stats: stats.clone().since(&last.stats),
            over: at.saturating_duration_since(last.at),
        });
        let document = document::of(overview, recent.as_ref())?;
        self.number += 1;
        let before = last.as_ref().map(|last| last.frame.document());
        let frame = Arc::new(Frame::new(self.number, document, before));
        self.last = Some(Sample { at, stats, frame: Arc::clone(&frame) });
        Ok(frame)
    }

    /// Forgets the last sample. The next frame does not follow its own.
    pub(super) fn rest(&mut self) {
        self.number += 1;
        self.last = None;
    }
}

/// Returns all counters, those of present services first.
fn all_stats(overview: &Overview) -> Stats {
    let mut stats = overview.stats.clone();
    let present = overview.services.iter().map(|one| one.stats.clone());
    stats.services = present.chain(stats.services).collect();
    stats
}
