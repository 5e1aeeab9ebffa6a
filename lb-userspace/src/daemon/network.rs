//! Events of the network: routes to backends, and the balancer's own addresses.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use lb_common::{backend::Hop, snat::Source};

use super::{Daemon, backends::wire_address, interfaces, state::Route};
use crate::{
    config::{Fault, Loaded},
    neighbours::{NetworkEvent, NextHop, OwnAddresses, Resolution},
};
use lb_host::local_ports::{Clash, LocalPorts};

impl Daemon {
    /// Handles events that arrived together.
    pub(super) async fn on_network(&mut self, events: Vec<NetworkEvent>) {
        let is_link = |event: &NetworkEvent| {
            matches!(event, NetworkEvent::Link(_) | NetworkEvent::LinkGone(_))
        };
        if events.iter().any(is_link) {
            self.refresh_macs().await;
        }
        let mut routes = Vec::new();
        for event in events {
            match event {
                NetworkEvent::NextHop { address, resolution } => {
                    self.on_route_to_client(address, &resolution);
                    routes.push((address, self.judged(&resolution)));
                }
                NetworkEvent::Own(addresses) => self.set_addresses(addresses),
                NetworkEvent::Broadcasts(broadcasts) => {
                    self.broadcasts = broadcasts;
                    self.tell_addresses();
                }
                NetworkEvent::Link(link) | NetworkEvent::LinkGone(link) => {
                    let is_ours = |one: &interfaces::Interface| {
                        one.name == link.name || one.ifindex == link.ifindex
                    };
                    if self.interfaces.iter().any(is_ours) {
                        self.fix_interfaces().await;
                    }
                }
            }
        }
        let mut state = self.state.clone();
        state.resolve(routes);
        self.follow(state);
    }

    /// Attaches the program where it is missing, and updates the routes.
    pub(super) async fn fix_interfaces(&mut self) {
        let wanted = self.config.xdp_mode;
        let fixed = interfaces::fix(&mut self.dataplane, &mut self.interfaces, wanted).await;
        match fixed {
            Ok(false) => {}
            Ok(true) => {
                self.refresh_macs().await;
                self.neighbours.tell_again();
            }
            Err(error) => log::error!("cannot update the interfaces: {error:#}"),
        }
    }

    fn set_addresses(&mut self, addresses: OwnAddresses) {
        let missing = self.missing_sources();
        let sources = |own: &OwnAddresses| -> OwnAddresses {
            let is_source = |address| self.config.snat_addresses.contains(address);
            own.iter().filter(|(_, address)| is_source(address)).copied().collect()
        };
        let has_changed = sources(&self.addresses) != sources(&addresses);
        self.addresses = addresses;
        self.unrouted.outdate();
        self.tell_addresses();
        if !has_changed {
            return;
        }
        log::info!("the addresses of `snat_addresses` on the interfaces have changed");
        let now = self.missing_sources();
        now.iter().filter(|one| !missing.contains(one)).for_each(|one| log::warn!("{one}"));
        self.neighbours.tell_again();
    }

    /// Writes this host's addresses to the program's maps.
    fn tell_addresses(&mut self) {
        let own = self.addresses.iter().map(|(_, address)| address);
        let told = self.dataplane.maps().set_host_addresses(own, &self.broadcasts);
        if let Err(error) = told {
            log::error!("cannot give the program this host's addresses, trying again: {error:#}");
            self.sync.distrust();
        }
    }

    /// Returns warnings of configured source addresses that no interface has.
    pub(super) fn missing_sources(&self) -> Vec<String> {
        let own = own(&self.addresses);
        let missing = self.config.snat_addresses.iter().filter(|one| !own.contains(one));
        missing.map(|one| format!("{one} of `snat_addresses` is on no interface")).collect()
    }

    /// Compares the source ports with those of the host's own connections, and logs changes.
    pub(super) fn compare_ports(&mut self) {
        let ports = match LocalPorts::read() {
            Ok(ports) => ports,
            Err(error) => {
                log::debug!("cannot compare `snat_ports` with the host's ports: {error:#}");
                return;
            }
        };
        let clash = ports.clash(&self.config.snat_ports);
        let clash = clash.map(|Clash { message, fix }| format!("{message}; {fix}"));
        if clash != self.port_clash {
            match &clash {
                Some(clash) => log::warn!("{clash}"),
                None => log::info!("`snat_ports` shares no port with the host's own connections"),
            }
            self.port_clash = clash;
        }
    }

    /// Returns the route to an address.
    fn judged(&self, resolution: &Resolution) -> Route {
        let hop = self.next_hop(resolution);
        let sources = match resolution {
            Resolution::Resolved(hop) => self.sources(hop),
            Resolution::Unresolved(_) => Vec::new(),
        };
        Route { hop, sources }
    }

    /// Returns the hop of a resolution. It must be on one of our interfaces, or replies would not
    /// come back through the program.
    pub(super) fn next_hop(&self, resolution: &Resolution) -> Result<Hop, String> {
        let hop = match resolution {
            Resolution::Resolved(hop) => hop,
            Resolution::Unresolved(reason) => return Err(reason.clone()),
        };
        if !self.interfaces.iter().any(|interface| interface.ifindex == hop.ifindex) {
            let name = &hop.interface;
            return Err(format!("the route uses {name}: add \"{name}\" to `interfaces`"));
        }
        Ok(Hop::new(hop.dst_mac, hop.src_mac, hop.ifindex))
    }

    /// Returns the configured source addresses on the next hop's interface, or else the kernel's
    /// choice.
    fn sources(&self, hop: &NextHop) -> Vec<Source> {
        let mut chosen: Vec<IpAddr> = self.config.snat_addresses.clone();
        chosen.retain(|address| self.addresses.contains(&(hop.ifindex, *address)));
        if chosen.is_empty() {
            chosen.push(hop.source);
        }
        let ports = &self.config.snat_ports;
        let source = |address| Source {
            address: wire_address(address),
            first_port: *ports.start(),
            ports: ports.end() - ports.start() + 1,
        };
        chosen.into_iter().map(source).collect()
    }
}

/// Returns the addresses without their interfaces.
pub fn own(addresses: &OwnAddresses) -> HashSet<IpAddr> {
    addresses.iter().map(|(_, address)| *address).collect()
}

/// Finds backends with addresses of the balancer itself, whose packets would never cross an
/// interface.
pub fn find_local_backends(loaded: &Loaded, addresses: &OwnAddresses, faults: &mut Vec<Fault>) {
    let own = own(addresses);
    let is_own = |address: SocketAddr| address.ip().is_loopback() || own.contains(&address.ip());
    for (service, spec) in loaded.config.services.iter().enumerate() {
        for (backend, spec) in spec.backends.iter().enumerate() {
            if is_own(spec.address) {
                faults.push(loaded.backend_fault(
                    service,
                    backend,
                    "this is an address of the balancer itself",
                    "backends must be on other hosts: XDP only sees packets that cross an interface",
                ));
            }
        }
    }
}
