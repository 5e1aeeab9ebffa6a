//! What the daemon knows: the services as the operator wants them, and how they are.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use anyhow::Result;
use jiff::Timestamp;
use lb_common::{backend::Hop, limits, service::ServiceKey};

use super::{
    backends::{Backends, wire_address},
    ids::Ids,
};
use crate::{
    dataplane::Adopted,
    model::{self, Admin, Health, Probe},
    plan::ServiceImage,
    ring::Member,
};

#[derive(Clone, Debug)]
pub struct State {
    /// In configured order.
    pub services: Vec<Service>,
    pub kernel: Backends,
    service_ids: Ids,
    /// Services that a former daemon has left and that have not been configured yet.
    left: BTreeMap<ServiceKey, ServiceImage>,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub spec: model::Service,
    pub id: u32,
    pub backends: Vec<Backend>,
}

#[derive(Clone, Debug)]
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

impl State {
    /// Starts from what a former daemon has left in the kernel.
    #[must_use]
    pub fn new(adopted: Adopted) -> Self {
        let mut service_ids = Ids::new("service", 0, limits::SERVICES);
        for service in adopted.services.values() {
            service_ids.claim(service.id);
        }
        let kernel = Backends::adopt(&adopted);
        Self { services: Vec::new(), kernel, service_ids, left: adopted.services }
    }

    /// Makes the services those of a configuration. What is known of those that stay is kept.
    pub fn configure(&mut self, specs: &[model::Service]) -> Result<()> {
        let mut former = std::mem::take(&mut self.services);
        for spec in specs {
            let known = former.iter().position(|service| service.spec.name == spec.name);
            let known = known.map(|place| former.remove(place));
            let service = self.configure_service(spec, known)?;
            self.services.push(service);
        }
        for service in former {
            self.forget_service(&service);
        }
        for left in std::mem::take(&mut self.left).into_values() {
            if !self.services.iter().any(|service| service.id == left.id) {
                self.service_ids.free(left.id);
            }
        }
        Ok(())
    }

    fn configure_service(
        &mut self,
        spec: &model::Service,
        known: Option<Service>,
    ) -> Result<Service> {
        let (id, mut former) = match known {
            Some(service) => (service.id, service.backends),
            None => match self.left.get(&key(spec)) {
                Some(left) => (left.id, Vec::new()),
                None => (self.service_ids.allocate()?, Vec::new()),
            },
        };
        let mut backends = Vec::new();
        for backend in &spec.backends {
            let known = former.iter().position(|known| known.spec.address == backend.address);
            let backend = match known.map(|place| former.remove(place)) {
                Some(known) => Backend { spec: backend.clone(), ..known },
                None => self.meet(spec, id, backend)?,
            };
            backends.push(with_probe(backend, spec.health.probe));
        }
        for backend in former {
            self.kernel.depart(backend.id, spec.timeouts, Instant::now());
        }
        Ok(Service { spec: spec.clone(), id, backends })
    }

    /// A backend that is new to this daemon. One that a former daemon had in the ring counts as up
    /// until a check says otherwise.
    fn meet(
        &mut self,
        service: &model::Service,
        id: u32,
        spec: &model::Backend,
    ) -> Result<Backend> {
        let (id, hop) = self.kernel.take_id(id, spec.address)?;
        let served = self.left.get(&key(service)).is_some_and(|left| left.slots.contains(&id));
        let (health, detail) = if served {
            (Health::Up, "in use before the daemon started")
        } else {
            (Health::Unknown, "not checked yet")
        };
        Ok(Backend {
            spec: spec.clone(),
            id,
            health,
            detail: detail.to_owned(),
            since: Timestamp::now(),
            way: hop.ok_or_else(|| "not resolved yet".to_owned()),
        })
    }

    fn forget_service(&mut self, service: &Service) {
        for backend in &service.backends {
            self.kernel.depart(backend.id, service.spec.timeouts, Instant::now());
        }
        self.service_ids.free(service.id);
    }

    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.spec.name == name)
    }

    pub fn backend_mut(&mut self, service: &str, address: SocketAddr) -> Option<&mut Backend> {
        let service = self.services.iter_mut().find(|known| known.spec.name == service)?;
        service.backends.iter_mut().find(|backend| backend.spec.address == address)
    }

    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.services.iter().flat_map(|service| &service.backends)
    }

    pub fn backends_mut(&mut self) -> impl Iterator<Item = &mut Backend> {
        self.services.iter_mut().flat_map(|service| &mut service.backends)
    }
}

impl Service {
    #[must_use]
    pub fn key(&self) -> ServiceKey {
        key(&self.spec)
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
}

impl Backend {
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

    pub fn set_health(&mut self, health: Health, detail: String) {
        if self.health != health {
            self.since = Timestamp::now();
        }
        self.health = health;
        self.detail = detail;
    }
}

/// Without a probe a backend is up.
fn with_probe(mut backend: Backend, probe: Probe) -> Backend {
    if probe == Probe::None && backend.health != Health::Up {
        backend.set_health(Health::Up, "not checked".to_owned());
    }
    backend
}

fn key(service: &model::Service) -> ServiceKey {
    let vip = service.vip.address;
    ServiceKey::tcp(wire_address(vip.ip()), vip.port().to_be_bytes())
}
