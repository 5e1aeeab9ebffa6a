//! Events of the network: routes to backends, and the balancer's own addresses.

use std::{
    collections::{BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
};

use lb_common::{backend::Hop, snat::Source};
use lb_config::{Config, Fault, Loaded};
use lb_model::{Event, EventKey, Group};
use lb_neighbours::{Neighbours, NetworkEvent, NextHop, OwnAddresses, Resolution};

use lb_notify::Transition;

use super::{
    backends::wire_address,
    daemon::Daemon,
    groups::Groups,
    interfaces::{self, Interface},
    state::Route,
    unrouted::Unrouted,
};
use lb_host::local_ports::{Clash, LocalPorts};

/// This host's network.
pub(super) struct Network {
    pub(super) interfaces: Vec<Interface>,
    /// Addresses of the balancer.
    pub(super) addresses: OwnAddresses,
    /// Broadcast addresses of its networks.
    broadcasts: BTreeSet<Ipv4Addr>,
    /// True if the program may not know the MAC addresses of the interfaces.
    pub(super) are_macs_outdated: bool,
    /// Conflict of the source ports with this host's own.
    pub(super) port_clash: Option<String>,
    pub(super) unrouted: Unrouted,
    pub(super) neighbours: Neighbours,
}

impl Network {
    pub(super) fn new(
        interfaces: Vec<Interface>,
        addresses: OwnAddresses,
        neighbours: Neighbours,
    ) -> Self {
        Self {
            interfaces,
            addresses,
            broadcasts: BTreeSet::new(),
            are_macs_outdated: false,
            port_clash: None,
            unrouted: Unrouted::default(),
            neighbours,
        }
    }

    /// Returns warnings of configured source addresses that no interface has.
    pub(super) fn missing_sources(&self, configured: &[IpAddr]) -> Vec<String> {
        let own = own(&self.addresses);
        let missing = configured.iter().filter(|one| !own.contains(one));
        missing.map(|one| format!("{one} of `snat_addresses` is on no interface")).collect()
    }

    /// Compares the source ports with those of the host's own connections. Returns a change.
    pub(super) fn compare_ports(&mut self, snat_ports: &RangeInclusive<u16>) -> Option<Transition> {
        let ports = match LocalPorts::read() {
            Ok(ports) => ports,
            Err(error) => {
                log::debug!("cannot compare `snat_ports` with the host's ports: {error:#}");
                return None;
            }
        };
        let clash = ports.clash(snat_ports);
        let clash = clash.map(|Clash { message, fix, .. }| format!("{message}; {fix}"));
        if clash == self.port_clash {
            return None;
        }
        self.port_clash.clone_from(&clash);
        Some(match clash {
            Some(reason) => Transition::new(Event::PortsClash).with(EventKey::Reason, reason),
            None => Transition::new(Event::PortsFree),
        })
    }

    /// Returns the route to an address.
    fn judged(&self, resolution: &Resolution, config: &Config, groups: &Groups) -> Route {
        let hop = self.next_hop(resolution);
        let Resolution::Resolved(by) = resolution else {
            return Route { hop, sources: Vec::new(), of_groups: Vec::new() };
        };
        let of_group = |(number, group)| (number, self.sources_of(group, by, config));
        let of_groups = groups.iter().map(of_group).collect();
        Route { hop, sources: self.sources(by, config), of_groups }
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
    fn sources(&self, hop: &NextHop, config: &Config) -> Vec<Source> {
        let mut chosen: Vec<IpAddr> = config.snat_addresses.clone();
        chosen.retain(|address| self.addresses.contains(&(hop.ifindex, *address)));
        if chosen.is_empty() {
            chosen.push(hop.source);
        }
        with_ports(chosen, config)
    }

    /// Returns the source addresses of a group on the next hop's interface, and those that no interface has: a
    /// standby node has none.
    fn sources_of(&self, group: &Group, hop: &NextHop, config: &Config) -> Vec<Source> {
        let is_elsewhere = |address: &IpAddr| {
            let mut at = self.addresses.iter().filter(|(_, own)| own == address).peekable();
            at.peek().is_some() && at.all(|(ifindex, _)| *ifindex != hop.ifindex)
        };
        let mut chosen = group.snat_addresses.clone();
        chosen.retain(|address| !is_elsewhere(address));
        with_ports(chosen, config)
    }
}

fn with_ports(addresses: Vec<IpAddr>, config: &Config) -> Vec<Source> {
    let ports = &config.snat_ports;
    let source = |address| Source {
        address: wire_address(address),
        first_port: *ports.start(),
        ports: ports.end() - ports.start() + 1,
    };
    addresses.into_iter().map(source).collect()
}

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
                    routes.push((
                        address,
                        self.network.judged(&resolution, &self.config, self.state.groups()),
                    ));
                }
                NetworkEvent::Own(addresses) => self.set_addresses(addresses),
                NetworkEvent::Broadcasts(broadcasts) => {
                    self.network.broadcasts = broadcasts;
                    self.tell_addresses();
                }
                NetworkEvent::Link(link) | NetworkEvent::LinkGone(link) => {
                    let is_ours =
                        |one: &Interface| one.name == link.name || one.ifindex == link.ifindex;
                    if self.network.interfaces.iter().any(is_ours) {
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
        let fixed =
            interfaces::fix(&mut self.kernel.dataplane, &mut self.network.interfaces, wanted).await;
        match fixed {
            Ok(None) => {}
            Ok(Some(changes)) => {
                self.tell_all(changes);
                self.refresh_macs().await;
                self.network.neighbours.tell_again();
            }
            Err(error) => {
                log::error!(reason:% = format!("{error:#}"); "cannot update the interfaces");
            }
        }
    }

    fn set_addresses(&mut self, addresses: OwnAddresses) {
        let missing = self.network.missing_sources(&self.config.snat_addresses);
        let sources = |own: &OwnAddresses| -> OwnAddresses {
            let all = self.config.groups.iter().flat_map(|group| &group.snat_addresses);
            let is_source = |address| {
                self.config.snat_addresses.iter().chain(all.clone()).any(|one| one == address)
            };
            own.iter().filter(|(_, address)| is_source(address)).copied().collect()
        };
        let has_changed = sources(&self.network.addresses) != sources(&addresses);
        self.network.addresses = addresses;
        self.network.unrouted.outdate();
        self.tell_addresses();
        self.announce_addresses();
        if !has_changed {
            return;
        }
        log::info!("the addresses of `snat_addresses` on the interfaces have changed");
        let now = self.network.missing_sources(&self.config.snat_addresses);
        for reason in now.iter().filter(|one| !missing.contains(one)) {
            log::warn!(reason; "a source address cannot be used");
        }
        self.network.neighbours.tell_again();
    }

    /// Writes this host's addresses to the program's maps.
    fn tell_addresses(&mut self) {
        let own = self.network.addresses.iter().map(|(_, address)| address);
        let told = self.kernel.dataplane.maps().set_host_addresses(own, &self.network.broadcasts);
        if let Err(error) = told {
            log::error!(
                reason:% = format!("{error:#}");
                "cannot give the program this host's addresses, trying again"
            );
            self.kernel.sync.distrust();
        }
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
