//! Makes samples, each from the state at a moment and the counters of the one before.

use axum::body::Bytes;
use lb_model::views::Stats;
use tokio::time::Instant;

use super::{change::Change, document::Document, rates::Recent};
use crate::overview::Overview;

/// A sample, as events for all viewers.
pub(super) struct Sample {
    pub(super) number: u64,
    pub(super) whole: Bytes,
    /// What has changed since the sample with the number before.
    pub(super) change: Bytes,
}

#[derive(Default)]
pub(super) struct Sampler {
    number: u64,
    last: Option<Last>,
}

struct Last {
    at: Instant,
    stats: Stats,
    document: Document,
}

impl Sampler {
    pub(super) fn next(&mut self, overview: Overview) -> serde_json::Result<Sample> {
        let (at, stats) = (Instant::now(), all_stats(&overview));
        let last = self.last.take();
        let recent = last.as_ref().map(|last| Recent {
            stats: stats.clone().since(&last.stats),
            over: at.saturating_duration_since(last.at),
        });
        let document = Document::new(overview, recent.as_ref())?;
        let nothing = Document::default();
        let before = last.as_ref().map_or(&nothing, |last| &last.document);
        let sample = Sample {
            number: self.number,
            whole: event("whole", &Change::between(&nothing, &document))?,
            change: event("change", &Change::between(before, &document))?,
        };
        self.number += 1;
        self.last = Some(Last { at, stats, document });
        Ok(sample)
    }

    /// Forgets the last sample, which the next one does not follow.
    pub(super) fn rest(&mut self) {
        self.number += 1;
        self.last = None;
    }
}

/// Returns a server-sent event. JSON is a single line.
fn event(name: &str, data: &Change<'_>) -> serde_json::Result<Bytes> {
    let data = serde_json::to_string(data)?;
    Ok(format!("event: {name}\ndata: {data}\n\n").into())
}

/// Returns all counters, those of present services first.
fn all_stats(overview: &Overview) -> Stats {
    let mut stats = overview.stats.clone();
    let present = overview.services.iter().map(|one| one.stats.clone());
    stats.services = present.chain(stats.services).collect();
    stats
}
