//! One service: as it is wanted, and how it is.

use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use lb_common::backend::Hop;

use crate::{
    health::Target,
    model::{self, Admin, Health, HealthCheck, Probe, Timeouts},
    plan::Wanted,
    ring::{self, Member},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    pub spec: Arc<model::Service>,
    pub id: u32,
    /// In configured order.
    pub backends: Vec<Backend>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    pub spec: model::Backend,
    pub id: u32,
    pub health: Health,
    /// What the last check that changed anything has said.
    pub detail: String,
    /// When its health last changed.
    pub since: Timestamp,
    /// How frames reach it, or why they cannot.
    pub way: Result<Hop, String>,
}

impl Service {
    /// What the kernel should know of it.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let scheduler = self.spec.policy.scheduler;
        let slots = ring::build(scheduler, &self.members()).into();
        Wanted { id: self.id, scheduler: scheduler.into(), slots }
    }

    /// The backends that take new connections: backups only if nobody else can.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let tier = |backup| {
            let able = self.backends.iter().filter(|backend| backend.is_able());
            let tier = able.filter(move |backend| backend.spec.backup == backup);
            tier.map(Backend::as_member).collect::<Vec<_>>()
        };
        let first = tier(false);
        if first.is_empty() { tier(true) } else { first }
    }

    /// What is to be checked.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let checked = self.backends.iter().filter(|backend| backend.is_checked());
        let targets = checked.map(|backend| Target {
            service: self.spec.name.clone(),
            address: backend.spec.address,
            check: self.spec.policy.health,
            initial: backend.health,
        });
        targets.collect()
    }

    /// How long connections to its backends may be idle.
    pub fn expiry(&self) -> impl Iterator<Item = (u32, Timeouts)> {
        self.backends.iter().map(|backend| (backend.id, self.spec.policy.timeouts))
    }

    pub fn backend_mut(&mut self, address: SocketAddr) -> Option<&mut Backend> {
        self.backends.iter_mut().find(|backend| backend.spec.address == address)
    }
}

impl Backend {
    /// One that is not known yet, but for its way and whether it is in use.
    #[must_use]
    pub fn new(spec: model::Backend, id: u32, hop: Option<Hop>, served: bool) -> Self {
        let (health, detail) = if served {
            (Health::Up, "in use before the daemon started")
        } else {
            (Health::Unknown, "not checked yet")
        };
        Self {
            spec,
            id,
            health,
            detail: detail.to_owned(),
            since: Timestamp::now(),
            way: hop.ok_or_else(|| "not resolved yet".to_owned()),
        }
    }

    /// Without a probe a backend is up.
    #[must_use]
    pub fn with_probe(mut self, check: &HealthCheck) -> Self {
        if check.probe == Probe::None && self.health != Health::Up {
            self.set_health(Health::Up, "not checked".to_owned());
        }
        self
    }

    /// Whether it can take new connections.
    #[must_use]
    pub fn is_able(&self) -> bool {
        self.spec.admin == Admin::Enabled && self.health == Health::Up && self.way.is_ok()
    }

    fn as_member(&self) -> Member {
        Member { id: self.id, address: self.spec.address, weight: self.spec.weight }
    }

    /// Whether its health is watched.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.spec.admin != Admin::Disabled
    }

    pub fn reach(&mut self, way: &Result<Hop, String>) {
        if self.way != *way {
            match way {
                Ok(_) => log::info!("{}: reachable", self.spec.address),
                Err(reason) => log::warn!("{}: {reason}", self.spec.address),
            }
        }
        self.way.clone_from(way);
    }

    pub fn set_health(&mut self, health: Health, detail: String) {
        if self.health != health {
            self.since = Timestamp::now();
        }
        self.health = health;
        self.detail = detail;
    }
}
