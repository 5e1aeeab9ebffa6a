//! Sweeps of the flow table, outside the loop, as they take long if it is large.

use std::{future::pending, io, time::Duration};

use anyhow::Result;
use lb_dataplane::{Ends, Expiry, FlowCounts, HopWriter, Search, Sweeper};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use super::{
    connection_log::Teller,
    daemon::Daemon,
    events::Events,
    transitions::{Period, of_deadlines},
    worker::Worker,
};

/// Minimum time between two sweeps.
const PAUSE: Duration = Duration::from_secs(1);

/// Inverse of the maximum share of a CPU's time for sweeps.
const SHARE: u32 = 10;

/// Minimum time between two sweeps if the next one is urgent: far longer than the processing of a
/// packet, even on a virtual machine that is paused for a while.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Time for the sweep in progress when the daemon stops.
const GRACE: Duration = Duration::from_secs(1);

/// Sweeper and schedule.
#[derive(Debug)]
pub(super) struct Sweeps {
    /// None while a sweep is in progress.
    idle: Option<Sweeper>,
    next: Instant,
    /// True if connections must end that the current sweep may have passed.
    is_urgent: bool,
    /// Time until which deadlines of drains have been logged.
    told: std::time::Instant,
    worker: Worker<Errand>,
}

/// A sweep to run.
#[derive(Debug)]
struct Errand {
    sweeper: Sweeper,
    /// In the flow table's time.
    now: u32,
    expiry: Expiry,
    search: Search,
    begun: Instant,
}

/// A finished sweep.
#[derive(Debug)]
pub(super) struct Sweep {
    sweeper: Sweeper,
    begun: Instant,
    search: Search,
    flow_counts: FlowCounts,
    /// Result of writing the next hops, if there were any.
    written: Option<Result<()>>,
}

impl Sweeps {
    pub(super) fn start(
        sweeper: Sweeper,
        hops: HopWriter,
        swept: mpsc::Sender<Sweep>,
        ends: Teller,
    ) -> io::Result<Self> {
        let worker = Worker::start("sweep", 1, move |errand| {
            let Errand { mut sweeper, now, expiry, search, begun } = errand;
            let tell = |ended| ends.tell(ended);
            let told: Ends<'_> = if ends.is_on() { Some(&tell) } else { None };
            let flow_counts = sweeper.sweep(now, &expiry, &search, told);
            let written = (!flow_counts.moved.is_empty()).then(|| hops.write(&flow_counts.moved));
            let sweep = Sweep { sweeper, begun, search, flow_counts, written };
            if swept.blocking_send(sweep).is_err() {
                log::debug!("a sweep is dropped, as the daemon ends");
            }
        })?;
        let (next, told) = (Instant::now(), std::time::Instant::now());
        Ok(Self { idle: Some(sweeper), next, is_urgent: false, told, worker })
    }

    /// Requests a sweep as soon as possible.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
        self.next = self.next.min(Instant::now() + LEAST_PAUSE);
    }

    /// Waits until a sweep is due.
    pub(super) async fn due(&self) {
        if self.idle.is_none() {
            pending::<()>().await;
        }
        sleep_until(self.next).await;
    }
}

impl Daemon {
    pub(super) fn sweep(&mut self) {
        let Some(sweeper) = self.flows.sweeps.idle.take() else { return };
        self.flows.sweeps.is_urgent = false;
        self.tell_deadlines();
        // Earlier than any connection to a backend that the sweep does not know of.
        let now = lb_dataplane::now();
        let expiry = self.state.expiry(std::time::Instant::now());
        let search = self.flows.clients.search();
        let errand = Errand { sweeper, now, expiry, search, begun: Instant::now() };
        if let Err(Errand { sweeper, .. }) = self.flows.sweeps.worker.give(errand) {
            unreachable!("{sweeper:?} is one, and is not idle while it waits");
        }
    }

    /// Waits for the sweep in progress, if any, for a moment: what it removes is to be logged.
    pub(super) async fn finish_sweep(&self, events: &mut Events) {
        if self.flows.sweeps.idle.is_none() && timeout(GRACE, events.swept.recv()).await.is_err() {
            log::debug!("the last sweep has not ended in time");
        }
    }

    /// Logs drains whose deadlines have passed: this sweep ends their connections.
    fn tell_deadlines(&mut self) {
        let until = std::time::Instant::now();
        let after = std::mem::replace(&mut self.flows.sweeps.told, until);
        let period = Period { after, until, started: self.started };
        let passed = of_deadlines(&self.state, &period, |id| self.kernel.counters.active(id));
        self.tell_all(passed);
    }

    pub(super) fn on_swept(&mut self, sweep: Sweep) {
        let Sweep { sweeper, begun, search, mut flow_counts, written } = sweep;
        log::trace!("a sweep of the flow table took {:?}", begun.elapsed());
        self.tally.sweeps += 1;
        self.tally.sweeping += begun.elapsed();
        self.tally.expired += flow_counts.expired;
        self.follow_clients(&search, &flow_counts, begun.into_std(), written);
        flow_counts.forget_clients();
        self.flows.counts = flow_counts;
        let mut state = self.state.clone();
        let has_changed = state.follow_time(std::time::Instant::now());
        let begun_at = begun.into_std();
        // A flow that was being written may be the last one of a backend, and while the maps are behind, a
        // ring may name a backend that has left.
        let may_release =
            self.flows.counts.has_seen_all && self.kernel.sync.was_current_long_before(begun_at);
        let has_released = may_release && state.release(&self.flows.counts.referred, begun_at);
        if has_released || has_changed {
            self.follow(state);
        }
        self.flows.sweeps.next = Instant::now() + self.pause(begun.elapsed());
        self.flows.sweeps.idle = Some(sweeper);
    }

    /// Returns the pause after a sweep of this duration, at most until a drain ends.
    fn pause(&self, sweep: Duration) -> Duration {
        if self.flows.sweeps.is_urgent {
            return LEAST_PAUSE;
        }
        let now = std::time::Instant::now();
        let deadlines = self.state.backends().filter_map(|backend| backend.drain);
        let rests = deadlines.filter_map(|drain| drain.ends.checked_duration_since(now));
        rests.fold(PAUSE.max(sweep * SHARE), Duration::min).max(LEAST_PAUSE)
    }
}
