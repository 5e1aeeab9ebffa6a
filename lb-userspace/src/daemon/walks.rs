//! The walks through the flow table. They take a while when it is large, so the loop goes on
//! meanwhile.

use std::{future::pending, io, time::Duration};

use anyhow::Result;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{Daemon, worker::Worker};
use crate::dataplane::{self, Census, Expiry, HopWriter, Search, Sweeper};

/// From one walk to the next, at least.
const PAUSE: Duration = Duration::from_secs(1);

/// A walk takes no more than one part in so many of a CPU's time.
const SHARE: u32 = 10;

/// From one walk to the next, if somebody waits for it: far more than a packet takes, even on a
/// virtual machine that is not let run for a while.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Who walks, and when next.
#[derive(Debug)]
pub(super) struct Walks {
    /// Nobody, while a walk is under way.
    idle: Option<Sweeper>,
    next: Instant,
    /// Whether connections are to end that the walk under way may let go on.
    is_urgent: bool,
    worker: Worker<Errand>,
}

/// A walk that is to be made.
#[derive(Debug)]
struct Errand {
    sweeper: Sweeper,
    /// In the flow table's time.
    now: u32,
    expiry: Expiry,
    search: Search,
    begun: Instant,
}

/// A walk that has ended.
#[derive(Debug)]
pub(super) struct Walk {
    sweeper: Sweeper,
    begun: Instant,
    search: Search,
    census: Census,
    /// What has become of the next hops that were to be written, if there were any.
    written: Option<Result<()>>,
}

impl Walks {
    pub(super) fn start(
        sweeper: Sweeper,
        hops: HopWriter,
        walked: mpsc::Sender<Walk>,
    ) -> io::Result<Self> {
        let worker = Worker::start("sweep", 1, move |errand| {
            let Errand { mut sweeper, now, expiry, search, begun } = errand;
            let census = sweeper.sweep(now, &expiry, &search);
            let written = (!census.moved.is_empty()).then(|| hops.write(&census.moved));
            // Only closed if the daemon is about to end.
            walked.blocking_send(Walk { sweeper, begun, search, census, written }).ok();
        })?;
        Ok(Self { idle: Some(sweeper), next: Instant::now(), is_urgent: false, worker })
    }

    /// Has a walk begin as soon as one can.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
        self.next = self.next.min(Instant::now() + LEAST_PAUSE);
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
        let Some(sweeper) = self.walks.idle.take() else { return };
        self.walks.is_urgent = false;
        // Earlier than any connection to a backend that the walk does not know of.
        let now = dataplane::now();
        let (expiry, search) = (self.expiry(), self.clients.search());
        let errand = Errand { sweeper, now, expiry, search, begun: Instant::now() };
        if let Err(Errand { sweeper, .. }) = self.walks.worker.give(errand) {
            unreachable!("{sweeper:?} is one, and is not idle while it waits");
        }
    }

    pub(super) fn on_walked(&mut self, walk: Walk) {
        let Walk { sweeper, begun, search, mut census, written } = walk;
        log::trace!("a walk through the flow table took {:?}", begun.elapsed());
        self.follow_clients(&search, &census, begun.into_std(), written);
        census.forget_clients();
        self.census = census;
        let mut state = self.state.clone();
        let has_changed = state.follow_time(std::time::Instant::now());
        if state.kernel.release(&self.census.known, begun.into_std()) || has_changed {
            self.follow(state);
        }
        self.walks.next = Instant::now() + self.pause(begun.elapsed());
        self.walks.idle = Some(sweeper);
    }

    /// How long to rest after a walk that took so long: no longer than until a drain ends.
    fn pause(&self, walk: Duration) -> Duration {
        if self.walks.is_urgent {
            return LEAST_PAUSE;
        }
        let now = std::time::Instant::now();
        let deadlines = self.state.backends().filter_map(|backend| backend.drain);
        let rests = deadlines.filter_map(|drain| drain.ends.checked_duration_since(now));
        rests.fold(PAUSE.max(walk * SHARE), Duration::min).max(LEAST_PAUSE)
    }
}
