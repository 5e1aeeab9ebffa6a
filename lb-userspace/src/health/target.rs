//! The checks of one address, one after another.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use super::{HealthEvent, Prober, Subscriber, machine::Machine};
use crate::model::{Health, Probe};

/// Checks an address until nobody wants to know of it any more.
pub(super) async fn follow(
    at: SocketAddr,
    prober: Arc<Prober>,
    initial: Health,
    mut subscribers: watch::Receiver<Vec<Subscriber>>,
    events: mpsc::Sender<HealthEvent>,
) {
    let check = prober.check();
    let is_probed = check.probe != Probe::None;
    let mut machine = Machine::new(if is_probed { initial } else { Health::Unknown });
    let mut told: Vec<Subscriber> = Vec::new();
    loop {
        let begun = Instant::now();
        let outcome = prober.probe(at).await;
        let changed = machine.observe(outcome.success, check, begun);
        let detail = outcome.detail + &machine.warning(check, begun);
        let listeners = subscribers.borrow_and_update().clone();
        for listener in &listeners {
            if changed.is_none() && told.contains(listener) {
                continue;
            }
            let Subscriber { service, address } = listener.clone();
            let (health, detail, at) = (machine.health(), detail.clone(), Timestamp::now());
            let event = HealthEvent { service, address, health, detail, at };
            if events.send(event).await.is_err() {
                return;
            }
        }
        told = listeners;
        let fast = check.fast_interval.filter(|_| machine.is_in_doubt());
        let due = begun + jittered(fast.unwrap_or(check.interval));
        if !wait(is_probed.then_some(due), &mut subscribers, &told).await {
            return;
        }
    }
}

/// Waits for the next probe, which somebody new wants at once; false when there is to be none.
async fn wait(
    due: Option<Instant>,
    subscribers: &mut watch::Receiver<Vec<Subscriber>>,
    told: &[Subscriber],
) -> bool {
    let is_new = |all: &Vec<Subscriber>| all.iter().any(|one| !told.contains(one));
    let Some(due) = due else { return subscribers.wait_for(is_new).await.is_ok() };
    tokio::select! {
        () = time::sleep_until(due) => true,
        changed = subscribers.wait_for(is_new) => changed.is_ok(),
    }
}

/// An interval within a twentieth of the given one, so that the probes of many backends spread.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + 0.1 * fastrand::f64())
}
