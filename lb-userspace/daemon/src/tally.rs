//! What the loop has done since it started.

use std::time::Duration;

use super::state::State;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) reloads: u64,
    pub(super) refused_reloads: u64,
    /// Changes of the backends, or their weights, that take a service's new connections.
    pub(super) ring_changes: u64,
    /// Changes of backends to up or down.
    pub(super) health_changes: u64,
    pub(super) sweeps: u64,
    /// Time that all sweeps have taken.
    pub(super) sweeping: Duration,
    /// Connections that sweeps have removed as they had timed out.
    pub(super) expired: u64,
}

impl Tally {
    /// Counts the changes of these services between two states.
    pub(super) fn note(&mut self, former: &State, present: &State, touched: &[String]) {
        for service in touched.iter().filter_map(|name| present.service(name)) {
            let Some(was) = former.service(&service.spec.name) else { continue };
            self.ring_changes += u64::from(was.shares != service.shares);
            let changed = service.backends.iter().filter(|backend| {
                let before = was.backend(backend.spec.address);
                before.is_some_and(|before| before.health != backend.health)
            });
            self.health_changes += changed.count() as u64;
        }
    }
}
