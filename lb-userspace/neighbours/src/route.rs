//! Route lookup in the kernel.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};

use super::table::NeighbourId;
use lb_host::netlink;

/// Route of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub ifindex: u32,
    /// The gateway, or the address itself.
    pub neighbour: IpAddr,
    /// Source address that the kernel would select.
    pub source: IpAddr,
}

impl Route {
    /// Returns the neighbour whose MAC address frames need.
    pub(super) fn next(&self) -> NeighbourId {
        (self.ifindex, self.neighbour)
    }
}

/// Looks up a route in the kernel, so that its rules, tables and metrics all apply. Returns the route, or
/// the reason that there is none, for display.
///
/// # Errors
///
/// If the kernel was not asked or did not answer. The socket is of no use any more.
pub(super) async fn look_up(netlink: Handle, address: IpAddr) -> io::Result<Result<Route, String>> {
    let answer = netlink.route().get(question(address)).execute();
    match netlink::first(answer, &[libc::ENETUNREACH, libc::EHOSTUNREACH]).await {
        Ok(Some(route)) => Ok(read(&route, address)),
        Ok(None) => Ok(Err(format!("no route to {address}"))),
        Err(error) if netlink::is_answer(&error) => {
            Ok(Err(format!("no route to {address}: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn question(address: IpAddr) -> RouteMessage {
    match address {
        IpAddr::V4(address) => {
            RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, 32).build()
        }
        IpAddr::V6(address) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128).build()
        }
    }
}

fn read(route: &RouteMessage, address: IpAddr) -> Result<Route, String> {
    match route.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Err(format!("{address} is an address of this host")),
        _ => return Err(format!("no route to {address}")),
    }
    let mut ifindex = None;
    let mut neighbour = address;
    let mut source = None;
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(gateway) => neighbour = ip(gateway).unwrap_or(neighbour),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => neighbour = (*gateway).into(),
            RouteAttribute::PrefSource(address) => source = ip(address),
            _ => {}
        }
    }
    Ok(Route {
        ifindex: ifindex.ok_or_else(|| format!("the route to {address} has no interface"))?,
        neighbour,
        source: source.ok_or_else(|| format!("no source address to reach {address} from"))?,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// Whether the kernel would take packets to an address for its own: an interface has it, or a route
/// leads to this host.
pub(super) async fn leads_here(netlink: Handle, address: IpAddr) -> io::Result<bool> {
    let answer = netlink.route().get(question(address)).execute();
    let unknown = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
    let route = netlink::first(answer, &unknown).await?;
    Ok(route.is_some_and(|route| is_to_here(&route)))
}

fn is_to_here(route: &RouteMessage) -> bool {
    const LOOPBACK: u32 = 1;
    let is_local = matches!(route.header.kind, RouteType::Local | RouteType::Anycast);
    let by_loopback = |one: &RouteAttribute| matches!(one, RouteAttribute::Oif(LOOPBACK));
    is_local || route.attributes.iter().any(by_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_lost_is_no_missing_route() {
        let (connection, netlink, _) = rtnetlink::new_connection().expect("a socket");
        drop(connection);
        let address = "203.0.113.10".parse().expect("an address");
        look_up(netlink, address).await.expect_err("nobody was asked");
    }

    #[tokio::test]
    async fn a_route_of_this_host_leads_to_no_backend() {
        let netlink = netlink::connect().expect("a socket");
        let address = "127.0.0.9".parse().expect("an address");
        let reason = look_up(netlink, address).await.expect("an answer").expect_err("local");
        assert_eq!(reason, "127.0.0.9 is an address of this host");
    }
}
