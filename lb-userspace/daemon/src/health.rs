//! Results of health checks.

use std::collections::BTreeMap;

use lb_health::HealthEvent;
use lb_model::{Event, EventKey};
use lb_notify::Transition;

use super::{daemon::Daemon, failover, service::Service, state::State};

impl Daemon {
    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        let verdicts = events.clone();
        let mut by_service: BTreeMap<String, Vec<HealthEvent>> = BTreeMap::new();
        for event in events {
            by_service.entry(event.service.clone()).or_default().push(event);
        }
        let mut state = self.state.clone();
        for (name, events) in by_service {
            state.change_service(&name, |service| service.apply_health(events));
            let fails_open = |state: &State| state.service(&name).is_some_and(failover::fails_open);
            let change = match (fails_open(&self.state), fails_open(&state)) {
                (false, true) => Some(Transition::new(Event::ChecksIgnored)),
                (true, false) => Some(Transition::new(Event::ChecksCount)),
                _ => None,
            };
            let change = change.map(|change| change.with(EventKey::Service, name.as_str()));
            self.tell_all(change);
            let ended = |state: &State| state.service(&name).map_or(0, Service::ended);
            if ended(&state) > ended(&self.state) {
                self.flows.sweeps.hurry();
            }
        }
        self.follow(state);
        self.end_refusals(&verdicts);
        self.follow_refusals();
        self.memory.note();
    }
}
