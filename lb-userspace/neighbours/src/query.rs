//! Queries of the kernel's current network state.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp};

use super::{Interface, OwnAddresses, route, table};
use lb_host::netlink;

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

/// Returns the index of the interface by which packets to an address leave this host; none without a route.
pub async fn interface_to(address: IpAddr) -> Result<Option<u32>> {
    let route = route::look_up(netlink::connect()?, address).await;
    let route = route.with_context(|| format!("cannot look up the route to {address}"))?;
    Ok(route.ok().map(|route| route.ifindex))
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
