//! Faults of source addresses and ports.

use std::{collections::BTreeSet, net::IpAddr};

use lb_host::printable;

use crate::{
    check::{Check, Find},
    facts::{Link, Site},
    report::{Cases, Severity},
};

use super::{skip_unasked, some_of};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "snat-address-missing",
        severity: Severity::Warning,
        meaning: "An address of `snat_addresses` is on no interface, and is not used.",
        find: Find::OnSite(missing),
    },
    Check {
        id: "source-conflict",
        severity: Severity::Problem,
        meaning: "Another host answers ARP for a source address, and gets replies of backends.",
        find: Find::OnSite(conflict),
    },
    Check {
        id: "snat-ports-clash",
        severity: Severity::Problem,
        meaning: "The kernel uses ports of `snat_ports` for the host's own connections, such as \
            health checks.",
        find: Find::OnSite(clash),
    },
];

fn missing(site: &Site, cases: &mut Cases<'_>) {
    if cases.seen("snat_addresses", &site.network.addresses).is_none() {
        return;
    }
    let sources = site.config.snat_addresses.iter();
    for address in sources.filter(|address| !site.network.is_own(**address)) {
        let interface = site.towards(*address).map_or("INTERFACE".into(), Link::word);
        let fix = format!("ip address add {address}/32 dev {interface}");
        cases.add(address, "this source address is on no interface: it is not used", fix);
    }
}

fn conflict(site: &Site, cases: &mut Cases<'_>) {
    let Some(claims) = cases.seen("source addresses", &site.network.claims) else { return };
    skip_unasked("source addresses", site.network.unasked_addresses, cases);
    let services = site.config.services.iter();
    let vips: BTreeSet<IpAddr> = services.map(|one| one.vip.address.ip()).collect();
    for ((interface, address), macs) in claims {
        if vips.contains(&IpAddr::V4(*address)) {
            continue;
        }
        let macs = some_of(&macs.iter().copied().map(printable::mac).collect::<Vec<_>>());
        let message =
            format!("on {interface}, {macs} answers ARP for it: replies of backends go there");
        let fix = format!("ip address del {address} dev INTERFACE, on the host with {macs}");
        cases.add(address, message, fix);
    }
}

fn clash(site: &Site, cases: &mut Cases<'_>) {
    let Some(ports) = cases.seen("snat_ports", &site.local_ports) else { return };
    if let Some(clash) = ports.clash(&site.config.snat_ports) {
        cases.add("snat_ports", clash.message, clash.command);
    }
}
