//! Notifications to systemd (`sd_notify(3)`), if it has started the daemon.

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Watchdog of the loop.
pub struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Creates the watchdog with half of the requested interval.
    pub fn new() -> Self {
        Self(watchdog_enabled().map(|longest| {
            let mut times = interval(longest / 2);
            times.set_missed_tick_behavior(MissedTickBehavior::Delay);
            times
        }))
    }

    /// Waits until a notification is due; forever, without a watchdog.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(times) => drop(times.tick().await),
            None => std::future::pending().await,
        }
    }
}

pub fn is_alive() {
    tell(NotifyState::Watchdog);
}

pub fn is_ready() {
    tell(NotifyState::Ready);
}

pub fn is_stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = notify(&[state]) {
        log::debug!("cannot notify systemd: {error}");
    }
}
