//! Consecutive checks of one address.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use lb_model::{Health, HealthCheck, Probe};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{self, Instant},
};

use super::{
    HealthEvent, Prober, Subscriber, last::Latest, machine::Machine, news::News, slots::Slots,
};

/// Minimum time between two expedited checks of an address.
const HURRY: Duration = Duration::from_secs(1);

/// Task that checks an address.
pub(super) struct Follower {
    pub(super) at: SocketAddr,
    pub(super) prober: Arc<Prober>,
    pub(super) slots: Arc<Slots>,
    pub(super) subscribers: watch::Receiver<Vec<Subscriber>>,
    pub(super) hurried: Arc<Notify>,
    pub(super) latest: Latest,
    pub(super) events: mpsc::Sender<HealthEvent>,
}

impl Follower {
    /// Checks the address until there are no subscribers any more.
    pub(super) async fn follow(mut self, initial: Health) {
        let prober = Arc::clone(&self.prober);
        let check = prober.check();
        let is_probed = check.probe != Probe::None;
        let mut machine = Machine::new(if is_probed { initial } else { Health::Unknown });
        let (mut newest_told, mut news) = (0, News::default());
        let mut hurry = Hurry::default();
        let mut pause = fastrand::f64();
        loop {
            let begun = Instant::now();
            let outcome = prober.probe(self.at, &self.slots).await;
            let observed = outcome.success.and_then(|well| machine.observe(well, check, begun));
            let detail = format!("{}{}", outcome.detail, machine.remark(check, begun));
            if is_probed {
                let doubt = machine.doubt(check, begun);
                self.latest.put(&outcome, begun.elapsed(), detail.clone(), doubt);
            }
            let is_success = outcome.success == Some(true);
            let is_verdict = hurry.ends(is_success || observed.is_some());
            let is_news = news.take(&outcome, &machine, begun) || is_verdict;
            let events = self.events(&mut newest_told, is_news, || HealthEvent {
                service: String::new(),
                address: self.at,
                health: machine.health(),
                detail: detail.clone(),
                is_success,
                was_checked: outcome.success.is_some(),
                at: Timestamp::now(),
            });
            for event in events {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
            let due = begun + interval(check, machine.is_in_doubt()).mul_f64(pause);
            pause = jitter();
            if !self.wait(is_probed.then_some(due), newest_told, &mut hurry).await {
                return;
            }
        }
    }

    /// Returns the events for subscribers: news for all, and the current state for new ones.
    fn events(
        &self,
        newest_told: &mut u64,
        is_news: bool,
        event: impl Fn() -> HealthEvent,
    ) -> Vec<HealthEvent> {
        let all = self.subscribers.borrow();
        let told = *newest_told;
        let listeners = all.iter().filter(|one| is_news || one.number > told);
        let events = listeners.map(|one| HealthEvent {
            service: one.service.clone(),
            address: one.address,
            ..event()
        });
        let events = events.collect();
        *newest_told = all.iter().map(|one| one.number).max().unwrap_or(told).max(told);
        events
    }

    /// Waits for the next probe; a new subscriber or an expedited check ends the wait. Returns
    /// false if there is no further probe.
    async fn wait(&mut self, due: Option<Instant>, newest_told: u64, hurry: &mut Hurry) -> bool {
        let is_new = |all: &Vec<Subscriber>| all.iter().any(|one| one.number > newest_told);
        let Some(due) = due else { return self.subscribers.wait_for(is_new).await.is_ok() };
        tokio::select! {
            biased;
            changed = self.subscribers.wait_for(is_new) => changed.is_ok(),
            () = hurry.comes(&self.hurried) => true,
            () = time::sleep_until(due) => true,
        }
    }
}

/// Requests for an expedited verdict.
#[derive(Debug, Default)]
struct Hurry {
    is_owed: bool,
    /// Time of the last expedited probe.
    last: Option<Instant>,
}

impl Hurry {
    async fn comes(&mut self, hurried: &Notify) {
        hurried.notified().await;
        // The next probe decides, even if it was due anyway.
        self.is_owed = true;
        if let Some(last) = self.last {
            time::sleep_until(last + HURRY).await;
        }
        self.last = Some(Instant::now());
    }

    /// Takes a result, and returns true if it is the verdict: a success, or a change of health.
    fn ends(&mut self, is_decided: bool) -> bool {
        is_decided && std::mem::take(&mut self.is_owed)
    }
}

fn interval(check: &HealthCheck, is_in_doubt: bool) -> Duration {
    let fast = check.fast_interval.filter(|_| is_in_doubt);
    fast.map_or(check.interval, |fast| fast.min(check.interval))
}

/// Factor that varies intervals by 5 %, so that checks do not run in lockstep. The first one is cut
/// at random, which spreads checks that started together.
fn jitter() -> f64 {
    0.95 + 0.1 * fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_faster_in_doubt_and_never_slower() {
        let of = |fast_interval| HealthCheck {
            fast_interval,
            interval: Duration::from_secs(2),
            ..HealthCheck::default()
        };
        let fast = Duration::from_millis(500);
        assert_eq!(interval(&of(Some(fast)), true), fast);
        assert_eq!(interval(&of(Some(fast)), false), Duration::from_secs(2));
        assert_eq!(interval(&of(None), true), Duration::from_secs(2));
        assert_eq!(interval(&of(Some(Duration::from_mins(1))), true), Duration::from_secs(2));
    }

    #[test]
    fn jitter_stays_within_a_twentieth() {
        assert!((0..1_000).all(|_| (0.95..=1.05).contains(&jitter())));
    }
}
