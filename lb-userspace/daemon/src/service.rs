//! A service: configured and actual state.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lb_common::backend::Hop;
use lb_dataplane::{
    plan::Wanted,
    ring::{self, Member},
};
use lb_health::{HealthEvent, Target};
use lb_model::{Admin, Failback, Health, HealthCheck, OnRefused, Probe};

use super::{
    backends::Presence,
    clock::{self, Span},
    remembered::Remembered,
};

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub spec: Arc<lb_model::Service>,
    pub id: u32,
    /// In configured order.
    pub backends: Vec<Backend>,
    /// Ids and weights in its ring.
    pub shares: Arc<[(u32, u16)]>,
    /// Removed backends that take its connections until another one can.
    pub leaving: Vec<Backend>,
    /// Time since they were removed.
    pub handover: Option<Span>,
    /// True from when no backend took connections, and none soon might, until one does.
    pub is_out: bool,
    /// True from when so many backends were down that checks are ignored, until enough are up.
    pub fails_open: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub spec: lb_model::Backend,
    pub id: u32,
    pub health: Health,
    /// Result of the last check.
    pub detail: String,
    /// True from when it was down until it is up, even if its health is unknown in between.
    pub was_down: bool,
    /// True if the last check could not run, so that its health is from an earlier one.
    pub is_unchecked: bool,
    /// Time of the last change of health.
    pub since: Timestamp,
    /// Next hop, or the reason why there is none.
    pub next_hop: Result<Hop, String>,
    /// True if it was down, and waits for `xdplb backend enable`.
    pub held: bool,
    /// Elapsed time of its slow start.
    pub warming: Option<Span>,
    /// End of its drain.
    pub drain: Option<Deadline>,
}

/// Reason for no next hop before the first resolution.
const UNRESOLVED: &str = "not resolved yet";

/// End of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// As configured.
    pub until: Timestamp,
    /// Independent of changes to the wall clock.
    pub ends: Instant,
}

impl Service {
    #[must_use]
    pub fn new(spec: Arc<lb_model::Service>, id: u32, backends: Vec<Backend>) -> Self {
        let shares = Arc::default();
        let (leaving, handover, is_out, fails_open) = Default::default();
        Self { spec, id, backends, shares, leaving, handover, is_out, fails_open }
    }

    /// Returns the desired map content while these backends take its new connections, without the group.
    #[must_use]
    pub fn wanted(&self, members: &[Member]) -> Wanted {
        let policy = &self.spec.policy;
        let slots = ring::build(policy.scheduler, members).into();
        let scheduler = policy.scheduler.with(policy.turns);
        let retries = policy.failover.on_refused == OnRefused::Retry;
        let members = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let room = self.room();
        Wanted { id: self.id, scheduler, members, retries, group: 0, slots, room }
    }

    /// Returns the number of slots of its longest ring.
    #[must_use]
    pub fn room(&self) -> u32 {
        u32::try_from(ring::most_slots(&self.spec)).unwrap_or(u32::MAX)
    }

    /// Returns the number of its backends that take new connections.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.shares.len()
    }

    /// Applies results of checks. Returns true if any was of an existing backend.
    pub fn apply_health(&mut self, events: Vec<HealthEvent>) -> bool {
        let mut is_news = false;
        for HealthEvent { service, address, health, detail, was_checked, .. } in events {
            log::debug!("{service}: {address} is {health}: {detail}");
            is_news |= self.set_health(address, health, detail);
            if let Some(backend) = self.backend_mut(address) {
                backend.is_unchecked = !was_checked;
            }
        }
        is_news
    }

    /// Returns true if backends that come back wait for the operator.
    pub(super) fn holds_back(&self) -> bool {
        let has_backups = self.backends.iter().any(|backend| backend.spec.backup);
        self.spec.policy.failover.failback == Failback::Manual && has_backups
    }

    /// Notes what a check has found. Returns whether there is such a backend.
    fn set_health(&mut self, address: SocketAddr, health: Health, detail: String) -> bool {
        let is_manual = self.holds_back();
        let Some(backend) = self.backend_mut(address) else { return false };
        match (backend.health, health) {
            // A backend that was enabled while it was down is not held again.
            (before, Health::Down) if before != Health::Down => {
                backend.held |= is_manual && !backend.spec.backup;
                backend.warming = None;
            }
            (Health::Down, Health::Up) => backend.warming = Some(Span::begin()),
            _ => {}
        }
        backend.set_health(health, detail);
        true
    }

    /// Returns true if it changes with time alone.
    #[must_use]
    pub fn is_in_transition(&self) -> bool {
        self.handover.is_some() || self.backends.iter().any(|backend| backend.warming.is_some())
    }

    /// Ends slow starts that are complete.
    pub fn warm(&mut self, now: Instant) {
        let slow_start = self.spec.policy.failover.slow_start;
        for backend in &mut self.backends {
            backend.warming = backend.warming.filter(|span| span.age(now) < slow_start);
        }
    }

    /// Returns the targets of its checks.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        if self.spec.policy.health.probe == Probe::None {
            return Vec::new();
        }
        let checked = self.backends.iter().filter(|backend| backend.is_checked());
        let targets = checked.map(|backend| Target {
            service: self.spec.name.clone(),
            address: backend.spec.address,
            check: self.spec.policy.health.clone(),
            initial: backend.health,
        });
        targets.collect()
    }

    #[must_use]
    pub fn backend(&self, address: SocketAddr) -> Option<&Backend> {
        self.backends.iter().find(|backend| backend.spec.address == address)
    }

    pub fn backend_mut(&mut self, address: SocketAddr) -> Option<&mut Backend> {
        self.backends.iter_mut().find(|backend| backend.spec.address == address)
    }
}

impl Deadline {
    /// Returns the deadline at a wall clock time, or None if that is too far away.
    fn of(until: Timestamp) -> Option<Self> {
        Self::after(until, clock::until(until, Timestamp::now()))
    }

    fn after(until: Timestamp, left: Duration) -> Option<Self> {
        Some(Self { until, ends: Instant::now().checked_add(left)? })
    }
}

impl Backend {
    /// Returns its presence while it takes no new connections.
    #[must_use]
    pub fn absence(&self) -> Presence {
        Presence::Away { is_down: self.health == Health::Down || self.next_hop.is_err() }
    }

    /// Returns a backend with this stored state and next hop.
    #[must_use]
    pub fn new(spec: lb_model::Backend, id: u32, hop: Option<Hop>, known: Remembered) -> Self {
        let Remembered { health, detail, since, held, warming, drain } = known;
        let next_hop = hop.ok_or_else(|| UNRESOLVED.to_owned());
        let left = drain.filter(|(until, _)| Some(*until) == spec.drain_until);
        let drain = match left {
            Some((until, left)) => Deadline::after(until, left),
            None => spec.drain_until.and_then(Deadline::of),
        };
        let (was_down, is_unchecked) = (health == Health::Down, false);
        Self {
            spec,
            id,
            health,
            detail,
            was_down,
            is_unchecked,
            since,
            next_hop,
            held,
            warming,
            drain,
        }
    }

    /// Returns the backend with another specification. Its health is forgotten when its checks
    /// stop, as it would be outdated when they start again, and an enabled backend gets a slow
    /// start like one that was down.
    #[must_use]
    pub fn with_spec(mut self, spec: lb_model::Backend) -> Self {
        let comes_back = !self.spec.is_enabled() && spec.is_enabled();
        if spec.drain_until != self.spec.drain_until {
            self.drain = spec.drain_until.and_then(Deadline::of);
        }
        self.spec = spec;
        if comes_back {
            self.warming = Some(Span::begin());
        }
        if !self.is_checked() && self.health != Health::Unknown {
            self.set_health(Health::Unknown, "not checked while it is disabled".to_owned());
            self.is_unchecked = false;
        }
        self
    }

    /// Sets the health to up if there is no probe.
    #[must_use]
    pub fn with_probe(mut self, check: &HealthCheck) -> Self {
        if check.probe == Probe::None && self.health != Health::Up {
            self.set_health(Health::Up, "not checked".to_owned());
        }
        self.is_unchecked &= check.probe != Probe::None;
        self
    }

    /// Ends the wait for the operator.
    pub fn let_back(&mut self) {
        if std::mem::take(&mut self.held) {
            self.warming = Some(Span::begin());
        }
    }

    /// Returns true if it can take new connections.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.is_usable() && self.health == Health::Up && !self.held
    }

    /// Returns true if it could take new connections when up.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.spec.is_enabled() && self.next_hop.is_ok()
    }

    /// Returns true if it is checked.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.spec.admin != Admin::Disabled
    }

    /// Returns true if its next hop or its health is not known yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.spec.is_enabled() && (self.health == Health::Unknown || self.is_unresolved())
    }

    /// Returns true if its next hop is not known yet.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        self.next_hop.as_ref().err().is_some_and(|why| why == UNRESOLVED)
    }

    pub fn set_health(&mut self, health: Health, detail: String) {
        if self.health != health {
            self.since = Timestamp::now();
        }
        self.was_down = match health {
            Health::Up => false,
            Health::Down => true,
            Health::Unknown => self.was_down,
        };
        self.health = health;
        self.detail = detail;
    }
}
