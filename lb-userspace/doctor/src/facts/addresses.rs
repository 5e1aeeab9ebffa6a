//! IPv4 addresses of this host.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;

use super::Seen;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    pub(crate) interface: String,
    /// With the length of its network's prefix.
    pub(crate) network: Ipv4Net,
}

impl OwnAddress {
    /// Returns true if hosts of its network, other than itself, include an address.
    pub(crate) fn reaches(&self, address: Ipv4Addr) -> bool {
        self.network.prefix_len() < 32 && self.network.contains(&address)
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.network.addr()
    }
}

pub(super) fn own() -> Seen<Vec<OwnAddress>> {
    let found =
        getifaddrs().map_err(|error| format!("cannot list this host's addresses: {error}"))?;
    let own = found.filter_map(|one| {
        let address = one.address?.as_sockaddr_in()?.ip();
        let mask = one.netmask.and_then(|mask| Some(mask.as_sockaddr_in()?.ip()));
        let network = Ipv4Net::with_netmask(address, mask.unwrap_or(Ipv4Addr::BROADCAST)).ok()?;
        Some(OwnAddress { interface: one.interface_name, network })
    });
    Ok(own.collect())
}
