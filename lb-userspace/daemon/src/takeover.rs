//! Consequences of failover for a service: the backends that take its connections, and the
//! connections that end.

use std::time::Instant;

use lb_dataplane::ring::Member;
use lb_model::{Health, OnDown, Timeouts};

use super::{
    failover,
    service::{Backend, Service},
};

impl Service {
    /// Returns the backends that take new connections.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        failover::members(self, Instant::now())
    }

    /// Lets backends that wait for the operator take over, if no other can.
    pub fn release(&mut self) {
        if !self.holds_back() {
            self.backends.iter_mut().for_each(|backend| backend.held = false);
        }
        if !failover::needs_the_held(self) {
            return;
        }
        let is_ready = |one: &&mut Backend| one.held && one.is_usable() && one.health == Health::Up;
        for backend in self.backends.iter_mut().filter(is_ready) {
            backend.held = false;
        }
    }

    /// Removes and returns its leaving backends once others take over.
    pub fn let_go(&mut self, now: Instant) -> Vec<Backend> {
        if self.handover.is_none() || failover::needs_the_leaving(self, now) {
            return Vec::new();
        }
        self.handover = None;
        std::mem::take(&mut self.leaving)
    }

    /// Returns the idle timeouts of connections to its backends. Other connections end at once.
    pub fn expiry(&self, now: Instant) -> impl Iterator<Item = (u32, Timeouts)> {
        let resets = self.resets();
        let ends = move |backend: &&Backend| {
            let is_down = resets && backend.health == Health::Down;
            is_down || backend.drain.is_some_and(|drain| drain.ends <= now)
        };
        let kept = self.backends.iter().filter(move |backend| !ends(backend));
        kept.chain(&self.leaving).map(|backend| (backend.id, self.spec.policy.timeouts))
    }

    /// Returns the number of backends that are down and whose connections end.
    #[must_use]
    pub fn ended(&self) -> usize {
        let down = self.backends.iter().filter(|backend| backend.health == Health::Down);
        if self.resets() { down.count() } else { 0 }
    }

    /// Returns true if connections end when their backend is down; not while checks are ignored.
    fn resets(&self) -> bool {
        self.spec.policy.failover.on_down == OnDown::Reset && !failover::fails_open(self)
    }
}
