//! Faults of interfaces, whatever their driver.

use crate::{
    check::{Check, Find},
    facts::{Link, Rings, Site},
    report::{Cases, Severity},
};

/// Receive ring that holds a burst.
const RING: u32 = 1_024;

/// `rp_filter` that drops what would be answered over another interface.
const STRICT: u8 = 1;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "interface-missing",
        severity: Severity::Problem,
        meaning: "An interface of the configuration does not exist.",
        find: Find::OnSite(missing),
    },
    Check {
        id: "interface-loopback",
        severity: Severity::Problem,
        meaning: "A loopback interface is configured, which no client's packet crosses.",
        find: Find::OnSite(loopback),
    },
    Check {
        id: "interface-down",
        severity: Severity::Problem,
        meaning: "An interface is down, or has no carrier.",
        find: Find::OnSite(down),
    },
    Check {
        id: "interface-without-arp",
        severity: Severity::Problem,
        meaning: "ARP is off on an interface, so nobody finds the services.",
        find: Find::OnSite(without_arp),
    },
    Check {
        id: "mtu-differs",
        severity: Severity::Warning,
        meaning: "Interfaces have different MTUs, and larger packets are dropped between them.",
        find: Find::OnSite(mtu_differs),
    },
    Check {
        id: "rp-filter-strict",
        severity: Severity::Warning,
        meaning: "The kernel ignores ARP requests and answers to health checks that come in on \
            another interface than its route.",
        find: Find::OnSite(strict),
    },
    Check {
        id: "lro-on",
        severity: Severity::Problem,
        meaning: "The network card merges packets (LRO), which native XDP cannot handle.",
        find: Find::OnSite(lro),
    },
    Check {
        id: "ring-small",
        severity: Severity::Note,
        meaning: "A receive ring is smaller than the network card allows, and overflows in bursts.",
        find: Find::OnSite(ring),
    },
];

fn missing(site: &Site, cases: &mut Cases<'_>) {
    for name in &site.config.interfaces {
        if let Some(reason) = site.unread.get(name) {
            cases.skip(name, reason);
        } else if site.link(name).is_none() {
            let message = "there is no such interface: the daemon does not start without it";
            cases.add(name, message, "correct `interfaces`: `ip link` lists all interfaces");
        }
    }
}

fn loopback(site: &Site, cases: &mut Cases<'_>) {
    for link in site.links.iter().filter(|link| link.is_loopback) {
        let fix = "list the interfaces towards clients and backends in `interfaces`";
        cases.add(link.name(), "it is a loopback interface: no packet of a client crosses it", fix);
    }
}

fn down(site: &Site, cases: &mut Cases<'_>) {
    for link in site.links.iter().filter(|link| !link.interface.up) {
        let (name, word) = (link.name(), link.word());
        if link.is_enabled {
            let fix = format!("check the cable and the other end: `ethtool {word}`");
            cases.add(name, "it has no carrier", fix);
        } else {
            cases.add(name, "it is down", format!("ip link set dev {word} up"));
        }
    }
}

fn without_arp(site: &Site, cases: &mut Cases<'_>) {
    for link in site.links.iter().filter(|link| !link.does_arp && !link.is_loopback) {
        let (name, word) = (link.name(), link.word());
        let message = "ARP is off: nobody finds this host's addresses on it";
        cases.add(name, message, format!("ip link set dev {word} arp on"));
    }
}

fn mtu_differs(site: &Site, cases: &mut Cases<'_>) {
    let mtu = |link: &&Link| link.interface.mtu;
    let links = || site.links.iter().filter(|link| !link.is_loopback);
    let Some(largest) = links().max_by_key(mtu) else { return };
    let wanted = largest.interface.mtu;
    for link in links().filter(|link| link.interface.mtu < wanted) {
        let (name, word, mtu) = (link.name(), link.word(), link.interface.mtu);
        let message = format!(
            "its MTU is {mtu}, that of {} is {wanted}: larger packets are dropped, as path-MTU \
             discovery does not work through the balancer",
            largest.name()
        );
        cases.add(name, message, format!("ip link set dev {word} mtu {wanted}"));
    }
}

fn strict(site: &Site, cases: &mut Cases<'_>) {
    if site.links.len() < 2 {
        return;
    }
    for link in &site.links {
        let name = link.name();
        if cases.seen(name, &link.rp_filter) == Some(&STRICT) {
            let message = "it ignores ARP requests, and answers to health checks, from addresses \
                whose route is over another interface";
            let word = link.word();
            cases.add(name, message, format!("sysctl -w net/ipv4/conf/{word}/rp_filter=2"));
        }
    }
}

fn lro(site: &Site, cases: &mut Cases<'_>) {
    for link in &site.links {
        let (name, word) = (link.name(), link.word());
        let Some(features) = cases.seen(name, &link.features) else { continue };
        if features.contains("rx-lro") {
            let message = "LRO merges packets before XDP: drivers refuse it, or packets are lost";
            cases.add(name, message, format!("ethtool -K {word} lro off"));
        }
    }
}

fn ring(site: &Site, cases: &mut Cases<'_>) {
    for link in &site.links {
        let (name, word) = (link.name(), link.word());
        let Some(Some(Rings { rx, max_rx })) = cases.seen(name, &link.rings) else { continue };
        let wanted = (*max_rx).min(4 * RING);
        if *rx < RING && *rx < wanted {
            let message = format!("its receive ring holds {rx} frames of at most {max_rx}");
            cases.add(name, message, format!("ethtool -G {word} rx {wanted}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn merged_packets_are_a_problem() {
        let mut site = made::site();
        assert!(found(&site, lro).is_empty());
        site.links[0].features = Ok(["rx-lro".to_owned()].into());
        assert_eq!(found(&site, lro)[0].fix, "ethtool -K eth0 lro off");
    }

    #[test]
    fn names_are_quoted_for_a_shell() {
        let mut site = made::site();
        site.links[0].interface.name = "$(reboot)".to_owned();
        site.links[0].interface.mtu = 1_400;
        site.links[0].does_arp = false;
        site.links[0].rp_filter = Ok(STRICT);
        for (find, fix) in [
            (mtu_differs as fn(&Site, &mut Cases<'_>), "ip link set dev '$(reboot)' mtu 1500"),
            (without_arp, "ip link set dev '$(reboot)' arp on"),
            (strict, "sysctl -w net/ipv4/conf/'$(reboot)'/rp_filter=2"),
        ] {
            assert_eq!(found(&site, find)[0].fix, fix);
        }
    }

    #[test]
    fn rings_that_can_grow_are_noted() {
        let mut site = made::site();
        for (rx, max_rx, fix) in [
            (256, 4_096, Some("ethtool -G eth0 rx 4096")),
            (512, 8_192, Some("ethtool -G eth0 rx 4096")),
            (512, 512, None),
            (1_024, 4_096, None),
        ] {
            site.links[0].rings = Ok(Some(Rings { rx, max_rx }));
            let found = found(&site, ring);
            assert_eq!(found.first().map(|one| &*one.fix), fix, "{rx} of {max_rx}");
        }
    }

    #[test]
    fn a_single_interface_needs_no_loose_filter() {
        let mut site = made::site();
        site.links[0].rp_filter = Ok(STRICT);
        assert_eq!(found(&site, strict).len(), 1);
        site.links.pop();
        assert!(found(&site, strict).is_empty());
    }
}
