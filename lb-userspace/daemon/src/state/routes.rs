//! Routes to backends.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::Result;
use lb_common::{backend::Hop, group::NO_GROUP, snat::Source};

use super::{State, places};
use crate::service::{Backend, Service};

/// Next hop of an address, or the reason why there is none, and source addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub hop: Result<Hop, String>,
    pub sources: Vec<Source>,
    /// Source addresses of services in a group, by its number.
    pub of_groups: Vec<(u32, Vec<Source>)>,
}

impl Route {
    /// Returns the source addresses of services in this group, or in none if it is 0.
    fn sources_of(&self, group: u32) -> Result<&[Source], String> {
        if group == NO_GROUP {
            return Ok(&self.sources);
        }
        let found = self.of_groups.iter().find(|(number, _)| *number == group);
        let sources = found.map(|(_, sources)| sources.as_slice()).unwrap_or_default();
        if sources.is_empty() {
            return Err(
                "no address of its group's `snat_addresses` is on the interface to it".to_owned()
            );
        }
        Ok(sources)
    }
}

impl State {
    /// Routes packets to a backend. A backend without room in the maps is unreachable.
    pub(super) fn set_route(&mut self, backend: &mut Backend, route: &Route) {
        let routed = route.hop.clone().and_then(|hop| {
            let sources = route.sources_of(self.kernel.group_of(backend.id))?;
            let routed = self.kernel.route(backend.id, hop, sources);
            routed.map(|()| hop).map_err(|error| format!("{error:#}"))
        });
        backend.next_hop = routed;
    }

    /// Routes packets to the backends at these addresses.
    pub fn resolve(&mut self, routes: Vec<(IpAddr, Route)>) {
        let mut by_service: BTreeMap<String, Vec<(SocketAddr, Route)>> = BTreeMap::new();
        for (address, route) in routes {
            let places = self.places_at(address);
            if places.is_empty() {
                continue;
            }
            for (service, backend) in places {
                by_service.entry(service).or_default().push((backend, route.clone()));
            }
            self.routes.insert(address, route);
        }
        for (name, routes) in by_service {
            let Some(service) = self.services.get(&name) else { continue };
            let mut service = Service::clone(service);
            for (backend, route) in routes {
                if let Some(backend) = service.backend_mut(backend) {
                    self.set_route(backend, &route);
                }
            }
            self.know(service);
        }
    }

    /// Forgets routes to addresses that only these former services had.
    pub(super) fn forget_routes(&mut self, formers: &[Arc<Service>]) {
        for (address, ..) in formers.iter().flat_map(|former| places(former)) {
            if self.at(address).next().is_none() {
                self.routes.remove(&address);
            }
        }
    }
}
