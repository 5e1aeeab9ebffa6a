//! The walks through the flow table. They take a while when it is large, so the loop goes on
//! meanwhile.

use std::{future::pending, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::Daemon;
use crate::dataplane::{self, Census, Sweeper};

/// From one walk to the next, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// A walk takes no more than one part in so many of a CPU's time.
const SHARE: u32 = 10;

/// Who walks, and when next.
#[derive(Debug)]
pub(super) struct Walks {
    /// Nobody, while a walk is under way.
    idle: Option<Sweeper>,
    next: Instant,
    walked: mpsc::Sender<Walk>,
}

/// A walk that has ended.
#[derive(Debug)]
pub(super) struct Walk {
    sweeper: Sweeper,
    begun: Instant,
    census: Census,
}

impl Walks {
    pub(super) fn new(sweeper: Sweeper, walked: mpsc::Sender<Walk>) -> Self {
        Self { idle: Some(sweeper), next: Instant::now(), walked }
    }

    /// Until it is time for a walk.
    pub(super) async fn due(&self) {
        if self.idle.is_none() {
            pending::<()>().await;
        }
        sleep_until(self.next).await;
    }
}

impl Daemon {
    pub(super) fn walk(&mut self) {
        let Some(mut sweeper) = self.walks.idle.take() else { return };
        // Earlier than any connection to a backend that the walk does not know of.
        let now = dataplane::now();
        let expiry = self.expiry();
        let walked = self.walks.walked.clone();
        let begun = Instant::now();
        spawn_blocking(move || {
            let census = sweeper.sweep(now, &expiry);
            // Only closed if the daemon is about to end.
            walked.blocking_send(Walk { sweeper, begun, census }).ok();
        });
    }

    pub(super) fn on_walked(&mut self, walk: Walk) {
        let Walk { sweeper, begun, census } = walk;
        log::trace!("a walk through the flow table took {:?}", begun.elapsed());
        self.census = census;
        let mut state = self.state.clone();
        let is_warmer = state.warm(Timestamp::now());
        if state.kernel.release(&self.census.known, begun.into_std()) || is_warmer {
            self.follow(state);
        }
        self.walks.next = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        self.walks.idle = Some(sweeper);
    }
}
