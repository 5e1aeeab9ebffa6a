//! Which services' addresses no packets come in for.

use std::{collections::BTreeSet, net::IpAddr};

use anyhow::{Context as _, Result};

use super::route::leads_here;
use lb_host::netlink;

/// Addresses that are looked up at once, at most.
const MOST: usize = 256;

/// Those of the addresses that no interface of this host has, and that no route leads to this host.
/// Only some of them, if they are very many.
pub async fn unrouted(addresses: impl IntoIterator<Item = IpAddr>) -> Result<BTreeSet<IpAddr>> {
    let addresses: BTreeSet<_> = addresses.into_iter().collect();
    let mut unrouted = BTreeSet::new();
    if addresses.is_empty() {
        return Ok(unrouted);
    }
    let netlink = netlink::connect().context("cannot ask the kernel for routes")?;
    for address in addresses.into_iter().take(MOST) {
        let is_here = leads_here(netlink.clone(), address).await;
        if !is_here.with_context(|| format!("cannot look up the route to {address}"))? {
            unrouted.insert(address);
        }
    }
    Ok(unrouted)
}

/// What to say of such an address, and the fix.
#[must_use]
pub fn unrouted_message(address: IpAddr) -> (String, String) {
    let message = format!(
        "no interface of this host has {address}, and no route leads it here: nobody answers ARP \
         for it"
    );
    let fix = format!(
        "`ip address add {address}/32 dev INTERFACE`; or, if a router sends its packets here, \
         `ip route add local {address}/32 dev lo`"
    );
    (message, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_of_this_host_are_told_from_others() {
        let [own, other] = ["127.0.0.9", "203.0.113.10"].map(|one| one.parse::<IpAddr>().unwrap());
        let unrouted = unrouted([own, other]).await.expect("the kernel answers");
        assert_eq!(unrouted, [other].into());
    }
}
