//! The checks of one target, one after another.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use super::{HealthEvent, Outcome, Target, machine::Machine, tcp};
use crate::model::{Health, HealthCheck, Probe};

/// Checks a target until nobody wants to know of it any more.
pub(super) async fn follow(
    target: Target,
    mut check: watch::Receiver<HealthCheck>,
    events: mpsc::Sender<HealthEvent>,
) {
    let mut machine = Machine::new(match target.check.probe {
        Probe::Tcp => target.initial,
        Probe::None => Health::Unknown,
    });
    let mut first = true;
    loop {
        let settings = *check.borrow_and_update();
        let due = Instant::now() + jittered(settings.interval);
        let outcome = probe(&target, &settings).await;
        let observed = machine.observe(outcome.success, &settings);
        let news = observed.or(first.then_some(machine.health()));
        first = false;
        if let Some(health) = news
            && events.send(event(&target, health, outcome)).await.is_err()
        {
            return;
        }
        if !wait(due, settings.probe, &mut check).await {
            return;
        }
    }
}

/// Waits for the next probe; false when there is to be none.
async fn wait(due: Instant, probe: Probe, check: &mut watch::Receiver<HealthCheck>) -> bool {
    match probe {
        Probe::None => check.changed().await.is_ok(),
        Probe::Tcp => tokio::select! {
            () = time::sleep_until(due) => true,
            changed = check.changed() => changed.is_ok(),
        },
    }
}

async fn probe(target: &Target, check: &HealthCheck) -> Outcome {
    match check.probe {
        Probe::Tcp => tcp::probe(target.address, check.timeout).await,
        Probe::None => Outcome { success: true, detail: "not checked".to_owned() },
    }
}

fn event(target: &Target, health: Health, outcome: Outcome) -> HealthEvent {
    HealthEvent {
        service: target.service.clone(),
        address: target.address,
        health,
        detail: outcome.detail,
        at: Timestamp::now(),
    }
}

/// An interval within a twentieth of the given one, so that the probes of many backends spread.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.95 + 0.1 * fastrand::f64())
}
