//! Requests of the API.

use std::net::SocketAddr;

use super::{Daemon, network, state::Service};
use crate::{
    control::{Change, Refusal, Request, ServiceView},
    model::{Backend, is_of_a_host},
};

impl Daemon {
    pub(super) async fn answer(&mut self, request: Request) {
        // A client that has hung up meanwhile wants no answer.
        match request {
            Request::Status(reply) => drop(reply.send(Ok(self.status()))),
            Request::Services(reply) => drop(reply.send(self.service_views())),
            Request::Stats(reply) => drop(reply.send(self.stats())),
            Request::Connections(reply) => drop(reply.send(Ok(self.listing()))),
            Request::Change(change, reply) => drop(reply.send(self.change(change).await)),
        }
    }

    /// Carries a change out whole, or not at all.
    async fn change(&mut self, change: Change) -> Result<ServiceView, Refusal> {
        let name = change.service().to_owned();
        if let Change::AddBackend { backend, .. } = &change {
            self.refuse_address(backend.address).await?;
        }
        refuse_weight(&change)?;
        let mut specs: Vec<_> = self.state.services.iter().map(|s| s.spec.clone()).collect();
        let spec = specs
            .iter_mut()
            .find(|spec| spec.name == name)
            .ok_or_else(|| Refusal::NotFound(format!("there is no service {name}")))?;
        edit(&mut spec.backends, &name, &change)?;
        let before = self.state.clone();
        let committed = self.state.configure(&specs).and_then(|()| self.commit());
        if let Err(error) = committed {
            self.state = before;
            return Err(Refusal::Failed(format!("{error:#}")));
        }
        log::info!("{change}");
        let service = self
            .state
            .service(&name)
            .ok_or_else(|| Refusal::Failed(format!("service {name} has vanished")))?;
        self.service_view(service)
    }

    async fn refuse_address(&self, address: SocketAddr) -> Result<(), Refusal> {
        if !address.is_ipv4() {
            return Err(Refusal::Invalid(format!("{address} is IPv6, which is not supported yet")));
        }
        if address.port() == 0 || !is_of_a_host(address.ip()) {
            return Err(Refusal::Invalid(format!(
                "{address} is no address of a server: give a host's address and a port from 1 on"
            )));
        }
        let is_vip = |service: &&Service| service.spec.vip.address == address;
        if let Some(service) = self.state.services.iter().find(is_vip) {
            let name = &service.spec.name;
            return Err(Refusal::Invalid(format!(
                "{address} is the VIP of service {name}: a backend must be a server behind it"
            )));
        }
        let local = network::is_local(address.ip()).await;
        if local.map_err(|error| Refusal::Failed(format!("{error:#}")))? {
            return Err(Refusal::Invalid(format!(
                "{address} is an address of the balancer itself: XDP only reaches servers on \
                 other hosts"
            )));
        }
        Ok(())
    }
}

fn edit(backends: &mut Vec<Backend>, service: &str, change: &Change) -> Result<(), Refusal> {
    let place = |address: SocketAddr| {
        backends
            .iter()
            .position(|backend| backend.address == address)
            .ok_or_else(|| Refusal::NotFound(format!("{service} has no backend {address}")))
    };
    match change {
        Change::AddBackend { backend, .. } => {
            if place(backend.address).is_ok() {
                let address = backend.address;
                return Err(Refusal::Conflict(format!(
                    "{service} has the backend {address} already: change it with \
                     `xdplb backend set {service} {address} …`"
                )));
            }
            backends.push(backend.clone());
        }
        Change::RemoveBackend { address, .. } => {
            let place = place(*address)?;
            backends.remove(place);
        }
        Change::SetBackend { address, settings, .. } => {
            let place = place(*address)?;
            let backend = &mut backends[place];
            backend.weight = settings.weight.unwrap_or(backend.weight);
            backend.backup = settings.backup.unwrap_or(backend.backup);
            backend.admin = settings.admin.unwrap_or(backend.admin);
        }
    }
    Ok(())
}

fn refuse_weight(change: &Change) -> Result<(), Refusal> {
    let weight = match change {
        Change::AddBackend { backend, .. } => Some(backend.weight),
        Change::SetBackend { settings, .. } => settings.weight,
        Change::RemoveBackend { .. } => None,
    };
    if weight == Some(0) {
        return Err(Refusal::Invalid(
            "a weight is 1 to 65535: to give a backend no new connections, drain it".to_owned(),
        ));
    }
    Ok(())
}
