//! Counts of notifications.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Notifications since the daemon started, by what has become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub delivered: u64,
    /// Given up after all attempts.
    pub failed: u64,
    /// Left out, as the queue was full, or its recipient was removed, or the daemon ended.
    pub dropped: u64,
    /// Waiting.
    pub queued: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicU64,
}

impl Counts {
    pub(super) fn tally(&self) -> Tally {
        Tally {
            delivered: self.delivered.load(Relaxed),
            failed: self.failed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            queued: self.queued.load(Relaxed),
        }
    }
}

/// Counts one notification: as queued, and as dropped unless another result is noted before its end.
#[derive(Debug)]
pub(super) struct Counted {
    counts: Arc<Counts>,
    is_delivered: Option<bool>,
}

impl Counted {
    pub(super) fn queued(counts: &Arc<Counts>) -> Self {
        counts.queued.fetch_add(1, Relaxed);
        Self { counts: Arc::clone(counts), is_delivered: None }
    }

    pub(super) fn end(mut self, is_delivered: bool) {
        self.is_delivered = Some(is_delivered);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Counts { delivered, failed, dropped, queued } = &*self.counts;
        queued.fetch_sub(1, Relaxed);
        let result = match self.is_delivered {
            Some(true) => delivered,
            Some(false) => failed,
            None => dropped,
        };
        result.fetch_add(1, Relaxed);
    }
}
