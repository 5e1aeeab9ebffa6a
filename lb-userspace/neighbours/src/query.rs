//! Queries of the kernel's current network state.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::{
    link::{LinkAttribute, LinkXdp},
    neighbour::NeighbourState,
};

use super::{
    Interface, OwnAddresses, Route, route,
    table::{self, NeighbourId},
};
use lb_host::{netlink, printable, sys::bpf::XdpLink};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver.
    Native,
    /// In the kernel's network stack.
    Generic,
    /// In the network card.
    Offloaded,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpAttached {
    pub mode: AttachMode,
    pub program_id: u32,
}

impl XdpAttached {
    /// Returns the command that detaches the program, unless a BPF link keeps it attached.
    #[must_use]
    pub fn detach_command(self, interface: &str) -> String {
        let mode = match self.mode {
            AttachMode::Native => "xdpdrv",
            AttachMode::Generic => "xdpgeneric",
            AttachMode::Offloaded => "xdpoffload",
        };
        format!("ip link set dev {} {mode} off", printable::word(interface))
    }

    /// Returns the id of the BPF link that keeps the program attached to an interface, if any does.
    #[must_use]
    pub fn link(self, ifindex: u32, links: &[XdpLink]) -> Option<u32> {
        let is_its =
            |link: &&XdpLink| (link.program_id, link.ifindex) == (self.program_id, ifindex);
        links.iter().find(is_its).map(|link| link.id)
    }
}

/// Returns the index of the interface by which packets to an address leave this host; none without a route.
pub async fn interface_to(address: IpAddr) -> Result<Option<u32>> {
    let route = route::look_up(netlink::connect()?, address).await;
    let route = route.with_context(|| format!("cannot look up the route to {address}"))?;
    Ok(route.ok().map(|route| route.ifindex))
}

/// Returns the routes to these addresses, or the reason why there is none.
pub async fn routes(
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<BTreeMap<IpAddr, Result<Route, String>>> {
    let netlink = netlink::connect()?;
    let mut routes = BTreeMap::new();
    for address in addresses {
        let route = route::look_up(netlink.clone(), address).await;
        let route = route.with_context(|| format!("cannot look up the route to {address}"))?;
        routes.insert(address, route);
    }
    Ok(routes)
}

/// Returns the neighbours that have answered lately, or whose MAC addresses are configured.
pub async fn confirmed() -> Result<BTreeSet<NeighbourId>> {
    let netlink = netlink::connect()?;
    let neighbours = netlink.neighbours().get().execute();
    neighbours
        .try_filter_map(async |message| {
            let found = table::neighbour(&message);
            let is_confirmed = |is_fixed, state| is_fixed || state == NeighbourState::Reachable;
            Ok(found.filter(|(_, one)| is_confirmed(one.is_fixed, one.state)).map(|(id, _)| id))
        })
        .try_collect()
        .await
        .context("cannot read this host's neighbours")
}

/// Returns this host's own addresses.
pub async fn local_addresses() -> Result<OwnAddresses> {
    let netlink = netlink::connect()?;
    let addresses = netlink.address().get().execute();
    addresses
        .try_filter_map(async |message| Ok(table::own(&message)))
        .try_collect()
        .await
        .context("cannot read this host's addresses")
}

/// Returns the interface of that name, if there is one.
pub async fn interface(name: &str) -> Result<Option<Interface>> {
    let link = netlink::link(&netlink::connect()?, name)
        .await
        .with_context(|| format!("cannot read the interface {name}"))?;
    Ok(link.as_ref().and_then(table::interface))
}

/// Returns all interfaces of this host.
pub async fn links() -> Result<Vec<Interface>> {
    let netlink = netlink::connect()?;
    let links = netlink.link().get().execute();
    links
        .try_filter_map(async |message| Ok(table::interface(&message)))
        .try_collect()
        .await
        .context("cannot read this host's interfaces")
}

/// Returns the XDP program on an interface. None if there is no such interface or no program.
pub async fn xdp_attached(ifindex: u32) -> Result<Option<XdpAttached>> {
    let netlink = netlink::connect()?;
    let answer = netlink.link().get().match_index(ifindex).execute();
    let link = netlink::first(answer, &[libc::ENODEV])
        .await
        .with_context(|| format!("cannot read the interface {ifindex}"))?;
    let attributes = link.map(|link| link.attributes).unwrap_or_default();
    Ok(attributes.iter().find_map(xdp))
}

fn xdp(attribute: &LinkAttribute) -> Option<XdpAttached> {
    let LinkAttribute::Xdp(attributes) = attribute else {
        return None;
    };
    attributes.iter().find_map(|attribute| {
        let (mode, program_id) = match attribute {
            LinkXdp::DrvProgId(id) => (AttachMode::Native, *id),
            LinkXdp::SkbProgId(id) => (AttachMode::Generic, *id),
            LinkXdp::HwProgId(id) => (AttachMode::Offloaded, *id),
            _ => return None,
        };
        Some(XdpAttached { mode, program_id })
    })
}
