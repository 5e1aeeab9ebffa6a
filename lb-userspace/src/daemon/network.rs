//! What happens around the balancer: ways to backends, and its own addresses.

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use lb_common::{backend::Hop, snat::Source};

use super::{
    Daemon,
    backends::wire_address,
    interfaces,
    state::{State, Way},
};
use crate::{
    config::Loaded,
    neighbours::{self, NetworkEvent, NextHop, Resolution},
};

impl Daemon {
    pub(super) async fn on_network(&mut self, event: NetworkEvent) {
        match event {
            NetworkEvent::NextHop { address, resolution } => {
                match self.resolve(address, &resolution).await {
                    Ok(state) => self.follow(state),
                    Err(error) => log::error!("{address}: {error:#}"),
                }
            }
            NetworkEvent::Link(_) | NetworkEvent::LinkGone(_) => self.look_at_interfaces().await,
        }
    }

    /// Follows what has become of the program on its interfaces.
    async fn look_at_interfaces(&mut self) {
        let own = self.dataplane.program_id();
        let looked = async { interfaces::look(&mut self.interfaces, own?).await };
        if let Err(error) = looked.await {
            log::error!("cannot look at the interfaces: {error:#}");
        }
    }

    /// The state after an address is reached in another way, or not any more.
    async fn resolve(&self, address: IpAddr, resolution: &Resolution) -> Result<State> {
        let hop = self.way(resolution);
        let sources = match resolution {
            Resolution::Resolved(hop) => self.sources(hop).await?,
            Resolution::Unresolved(_) => Vec::new(),
        };
        let mut state = self.state.clone();
        state.resolve(address, &Way { hop, sources })?;
        Ok(state)
    }

    /// How frames leave for a next hop: by one of our interfaces, or replies would not come back
    /// through the program.
    fn way(&self, resolution: &Resolution) -> Result<Hop, String> {
        let hop = match resolution {
            Resolution::Resolved(hop) => hop,
            Resolution::Unresolved(reason) => return Err(reason.clone()),
        };
        if !self.interfaces.iter().any(|interface| interface.ifindex == hop.ifindex) {
            let name = &hop.interface;
            return Err(format!("the route leads out of {name}: add \"{name}\" to `interfaces`"));
        }
        Ok(Hop::new(hop.dst_mac, hop.src_mac, hop.ifindex))
    }

    /// The configured source addresses that are on the next hop's interface, or else the kernel's
    /// own choice.
    async fn sources(&self, hop: &NextHop) -> Result<Vec<Source>> {
        let on_interface = neighbours::local_addresses().await?;
        let mut chosen: Vec<IpAddr> = self.config.snat_addresses.clone();
        chosen.retain(|address| on_interface.contains(&(hop.ifindex, *address)));
        if chosen.is_empty() {
            chosen.push(hop.source);
        }
        let ports = &self.config.snat_ports;
        let source = |address| Source {
            address: wire_address(address),
            first_port: *ports.start(),
            ports: ports.end() - ports.start() + 1,
        };
        Ok(chosen.into_iter().map(source).collect())
    }
}

/// Whether an address is one of the balancer's own.
pub async fn is_local(address: IpAddr) -> Result<bool> {
    Ok(neighbours::local_addresses().await?.iter().any(|(_, own)| *own == address))
}

/// Refuses a configuration with a backend on the balancer itself: its packets would never pass an
/// interface.
pub async fn refuse_local_backends(loaded: &Loaded) -> Result<()> {
    let own = neighbours::local_addresses().await?;
    let is_own = |address: SocketAddr| {
        address.ip().is_loopback() || own.iter().any(|(_, own)| *own == address.ip())
    };
    for (service, spec) in loaded.config.services.iter().enumerate() {
        for (backend, spec) in spec.backends.iter().enumerate() {
            if is_own(spec.address) {
                return Err(loaded.backend_error(
                    service,
                    backend,
                    "this is an address of the balancer itself",
                    "backends must be on other hosts: XDP only sees packets that cross an interface",
                ));
            }
        }
    }
    Ok(())
}
