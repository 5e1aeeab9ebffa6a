//! Faults of services' addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_host::printable;
use lb_model::Service;

use crate::{
    check::{Check, Find},
    facts::{Link, Site},
    report::{Cases, Severity},
};

use super::{skip_unasked, some_of};

/// `arp_ignore` that answers for addresses of the interface itself.
const OF_INTERFACE: u8 = 1;

/// `arp_ignore` that answers for addresses of the interface, if they are in the sender's network.
const OF_NETWORK: u8 = 2;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "vip-unrouted",
        severity: Severity::Problem,
        meaning: "No interface has the address of a service, and no route brings it here.",
        find: Find::OnSite(unrouted),
    },
    Check {
        id: "vip-conflict",
        severity: Severity::Problem,
        meaning: "Another host answers ARP for the address of a service.",
        find: Find::OnSite(conflict),
    },
    Check {
        id: "vip-arp-ignored",
        severity: Severity::Problem,
        meaning: "This host does not answer ARP for the address of a service, because of \
            `arp_ignore`.",
        find: Find::OnSite(arp_ignored),
    },
    Check {
        id: "vip-port-taken",
        severity: Severity::Warning,
        meaning: "A server on this host listens where clients of a service connect to.",
        find: Find::OnSite(port_taken),
    },
];

/// Returns the services of each address.
fn vips(site: &Site) -> BTreeMap<IpAddr, Vec<&str>> {
    let mut vips = BTreeMap::<_, Vec<_>>::new();
    for Service { name, vip, .. } in &site.config.services {
        vips.entry(vip.address.ip()).or_default().push(name.as_str());
    }
    vips
}

fn subject(names: &[&str], address: IpAddr) -> String {
    format!("{} ({address})", some_of(names))
}

fn unrouted(site: &Site, cases: &mut Cases<'_>) {
    let Some(unrouted) = cases.seen("VIPs", &site.network.unrouted) else { return };
    let claims = site.network.claims.iter().flatten();
    let claimed: BTreeSet<IpAddr> = claims.map(|((_, address), _)| (*address).into()).collect();
    let vips = vips(site);
    // `vip-conflict` says who has it, such as the active one of two balancers.
    let is_nowhere = |address: &IpAddr| {
        let may_be_elsewhere = claimed.contains(address) || site.config.is_grouped(*address);
        unrouted.contains(address) && !may_be_elsewhere
    };
    for (address, names) in vips.iter().filter(|(address, _)| is_nowhere(address)) {
        let fix = match site.towards(*address).map(Link::word) {
            Some(interface) => format!("ip address add {address}/32 dev {interface}"),
            None => format!(
                "if a router sends its packets here: ip route add local {address}/32 dev lo"
            ),
        };
        let message = "no interface has it, and no route leads it here: nobody answers ARP for it";
        cases.add(subject(names, *address), message, fix);
    }
}

fn conflict(site: &Site, cases: &mut Cases<'_>) {
    let Some(claims) = cases.seen("VIPs", &site.network.claims) else { return };
    skip_unasked("VIPs", site.network.unasked_addresses, cases);
    let vips = vips(site);
    for ((interface, address), macs) in claims {
        let address = IpAddr::V4(*address);
        let Some(names) = vips.get(&address) else { continue };
        let macs = some_of(&macs.iter().copied().map(printable::mac).collect::<Vec<_>>());
        let message = format!("on {interface}, {macs} answers ARP for it: clients reach that host");
        let fix = format!(
            "ip address del {address}/32 dev INTERFACE, on the host with {macs}; or another `vip`"
        );
        cases.add(subject(names, address), message, fix);
    }
}

fn arp_ignored(site: &Site, cases: &mut Cases<'_>) {
    let Some(own) = cases.seen("VIPs", &site.network.addresses) else { return };
    for (address, names) in vips(site) {
        let Some(link) = site.towards(address) else { continue };
        let name = link.name();
        let Some(&ignore) = cases.seen(name, &link.arp_ignore) else { continue };
        let mut places = own.iter().filter(|own| IpAddr::V4(own.address()) == address).peekable();
        let is_here = places.peek().is_some();
        let is_on_it = places.any(|own| own.interface == name);
        let is_ignored = match ignore {
            0 => false,
            OF_INTERFACE | OF_NETWORK => !is_on_it,
            _ => true,
        };
        if is_here && is_ignored {
            let message = format!("{name} does not answer ARP for it (arp_ignore is {ignore})");
            let word = &*link.word();
            let keys = ["all", word].map(|of| format!("net/ipv4/conf/{of}/arp_ignore=0"));
            cases.add(subject(&names, address), message, format!("sysctl -w {}", keys.join(" ")));
        }
    }
}

fn port_taken(site: &Site, cases: &mut Cases<'_>) {
    let Some(listeners) = cases.seen("VIPs", &site.listeners) else { return };
    for Service { name, vip, .. } in &site.config.services {
        if let Some(found) = listeners.find(vip.address) {
            cases.add(format_args!("{name} ({vip})"), found.message, found.fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lb_model::Group;

    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn a_vip_elsewhere_is_announced_where_its_network_is() {
        let mut site = made::site();
        site.network.unrouted = Ok(["203.0.113.10".parse().expect("an address")].into());
        assert_eq!(found(&site, unrouted)[0].fix, "ip address add 203.0.113.10/32 dev eth0");
        site.network.addresses = Ok(Vec::new());
        assert!(
            found(&site, unrouted)[0].fix.contains("ip route add local 203.0.113.10/32 dev lo")
        );
    }

    #[test]
    fn a_vip_of_another_balancer_is_reported_once() {
        let mut site = made::site();
        let vip = Ipv4Addr::new(203, 0, 113, 10);
        site.network.unrouted = Ok([vip.into()].into());
        site.network.claims = Ok([(("eth0".to_owned(), vip), [[2, 0, 0, 0, 0, 9]].into())].into());
        assert!(found(&site, unrouted).is_empty());
        assert!(found(&site, conflict)[0].message.contains("on eth0, 02:00:00:00:00:09 answers"));
    }

    #[test]
    fn a_vip_in_a_group_may_be_on_the_other_node() {
        let mut site = made::site();
        let vip = "203.0.113.10".parse().expect("an address");
        site.network.unrouted = Ok([vip].into());
        assert_eq!(found(&site, unrouted).len(), 1);
        site.config.groups =
            vec![Group { name: "web".to_owned(), vips: vec![vip], snat_addresses: Vec::new() }];
        assert!(found(&site, unrouted).is_empty());
    }

    #[test]
    fn arp_is_answered_where_the_setting_allows() {
        let mut site = made::site();
        for (ignore, faults) in [(0, 0), (1, 0), (2, 0), (3, 1), (8, 1)] {
            site.links[0].arp_ignore = Ok(ignore);
            assert_eq!(found(&site, arp_ignored).len(), faults, "{ignore}");
        }
        site.links[0].arp_ignore = Ok(1);
        if let Ok(own) = &mut site.network.addresses {
            own.last_mut().expect("the VIP").interface = "lo".to_owned();
        }
        let found = found(&site, arp_ignored);
        let fix = "sysctl -w net/ipv4/conf/all/arp_ignore=0 net/ipv4/conf/eth0/arp_ignore=0";
        assert_eq!(found[0].fix, fix);
    }
}
