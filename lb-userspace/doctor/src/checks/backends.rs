//! Faults on the way to backends.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_neighbours::Route;

use crate::{
    check::{Check, Find},
    facts::Site,
    report::{Cases, Severity},
};

use super::{skip_unasked, some_of};

/// Neighbours besides backends.
const OTHERS: usize = 64;

/// Default limit of neighbours.
const USUAL: usize = 1_024;

type Routes = BTreeMap<IpAddr, Result<Route, String>>;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "backend-local",
        severity: Severity::Problem,
        meaning: "A backend has an address of the balancer itself, and its packets would cross \
            no interface.",
        find: Find::OnSite(local),
    },
    Check {
        id: "backend-unroutable",
        severity: Severity::Problem,
        meaning: "There is no route to a backend.",
        find: Find::OnSite(unroutable),
    },
    Check {
        id: "backend-interface",
        severity: Severity::Problem,
        meaning: "The route to a backend uses an interface that is not one of `interfaces`.",
        find: Find::OnSite(interface),
    },
    Check {
        id: "next-hop-silent",
        severity: Severity::Problem,
        meaning: "The next hop to a backend does not answer ARP.",
        find: Find::OnSite(silent),
    },
    Check {
        id: "neighbour-limit",
        severity: Severity::Warning,
        meaning: "The kernel keeps fewer neighbours than there are backends on directly \
            connected networks.",
        find: Find::OnSite(neighbour_limit),
    },
    Check {
        id: "check-program",
        severity: Severity::Problem,
        meaning: "The program of a health check cannot be run.",
        find: Find::OnSite(program),
    },
];

/// Returns the backends' addresses, each with its services.
fn backends(site: &Site) -> BTreeMap<IpAddr, BTreeSet<&str>> {
    let mut backends = BTreeMap::<_, BTreeSet<_>>::new();
    for service in &site.config.services {
        for backend in &service.backends {
            backends.entry(backend.address.ip()).or_default().insert(service.name.as_str());
        }
    }
    backends
}

fn is_local(site: &Site, address: IpAddr) -> bool {
    address.is_loopback() || site.network.is_own(address)
}

fn local(site: &Site, cases: &mut Cases<'_>) {
    for (address, services) in backends(site) {
        if is_local(site, address) {
            let service = services.into_iter().next().unwrap_or_default();
            let message = "it is an address of the balancer itself: XDP sees only packets that \
                cross an interface";
            let fix = format!("xdplb backend remove {service} {address}:PORT, and in the file");
            cases.add(address, message, fix);
        }
    }
}

/// Returns the routes to backends, unless interfaces that are down explain their faults.
fn routes<'a>(site: &'a Site, cases: &mut Cases<'_>) -> Option<&'a Routes> {
    if !site.is_up() {
        return None;
    }
    cases.seen("backends", &site.network.routes)
}

fn unroutable(site: &Site, cases: &mut Cases<'_>) {
    let Some(routes) = routes(site, cases) else { return };
    let lost =
        routes.iter().filter(|(address, route)| route.is_err() && !is_local(site, **address));
    let lost: Vec<_> = lost.map(|(address, _)| *address).collect();
    if let Some(first) = lost.first() {
        let fix = format!("ip route add {first} via ROUTER, with the router that leads there");
        cases.add(some_of(&lost), "there is no route to it", fix);
    }
}

fn interface(site: &Site, cases: &mut Cases<'_>) {
    let Some(routes) = routes(site, cases) else { return };
    let is_ours = |index| site.links.iter().any(|link| link.interface.ifindex == index);
    let mut others = BTreeMap::<u32, Vec<IpAddr>>::new();
    for (address, route) in routes.iter().filter_map(|(at, route)| Some((at, route.as_ref().ok()?)))
    {
        if !is_ours(route.ifindex) {
            others.entry(route.ifindex).or_default().push(*address);
        }
    }
    for (ifindex, addresses) in others {
        let name = name_of(ifindex);
        let message = format!("its route uses {name}, which is not one of `interfaces`");
        let mut interfaces = site.config.interfaces.clone();
        interfaces.push(name);
        cases.add(some_of(&addresses), message, format!("interfaces = {interfaces:?}"));
    }
}

fn name_of(ifindex: u32) -> String {
    let name = nix::net::if_::if_indextoname(ifindex);
    name.map_or_else(|_| format!("interface {ifindex}"), |name| name.to_string_lossy().into_owned())
}

fn silent(site: &Site, cases: &mut Cases<'_>) {
    let Some(silent) = cases.seen("next hops", &site.network.silent) else { return };
    let Some(routes) = routes(site, cases) else { return };
    skip_unasked("next hops", site.network.unasked_hops, cases);
    for (interface, hop) in silent {
        let hop = IpAddr::V4(*hop);
        let behind = routes.iter().filter(|(_, route)| is_over(route, hop));
        let behind: Vec<_> = behind.map(|(address, _)| *address).collect();
        if behind == [hop] {
            let service = backends(site).remove(&hop).and_then(|names| names.into_iter().next());
            let (service, on) = (service.unwrap_or_default(), interface);
            let message = format!("this backend does not answer ARP on {on}");
            let fix =
                format!("start it, or take it out: xdplb backend remove {service} {hop}:PORT");
            cases.add(hop, message, fix);
        } else {
            let message = format!(
                "this router does not answer ARP on {interface}: no packets reach {}",
                some_of(&behind)
            );
            cases.add(hop, message, "start it, or change the routes: ip route replace");
        }
    }
}

fn is_over(route: &Result<Route, String>, neighbour: IpAddr) -> bool {
    route.as_ref().is_ok_and(|route| route.neighbour == neighbour)
}

fn neighbour_limit(site: &Site, cases: &mut Cases<'_>) {
    const KEY: &str = "net.ipv4.neigh.default.gc_thresh3";
    let routes = site.network.routes.iter().flatten();
    let connected = routes.filter(|(address, route)| is_over(route, **address)).count();
    let needed = connected + OTHERS;
    let limit = match &site.network.neighbour_limit {
        Ok(limit) => *limit,
        Err(reason) if needed > USUAL => return cases.skip(KEY, reason),
        Err(_) => return,
    };
    if usize::try_from(limit).is_ok_and(|limit| limit < needed) {
        let message = format!(
            "the kernel keeps {limit} neighbours, and {connected} backends are directly connected"
        );
        cases.add(KEY, message, format!("sysctl -w {KEY}={}", needed.next_power_of_two() * 2));
    }
}

fn program(site: &Site, cases: &mut Cases<'_>) {
    let Some(faults) = cases.seen("programs of checks", &site.programs) else { return };
    for (service, fault) in faults {
        cases.add(service, fault, "install it, or correct `health.command`");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn the_kernel_must_keep_all_connected_backends() {
        let mut site = made::site();
        site.network.neighbour_limit = Ok(1_024);
        assert!(found(&site, neighbour_limit).is_empty());
        let connected = (0..2_000_u16).map(|nth| {
            let [high, low] = nth.to_be_bytes();
            let address = IpAddr::from([10, 0, high, low]);
            let route = Route { ifindex: 3, neighbour: address, source: address };
            (address, Ok(route))
        });
        site.network.routes = Ok(connected.collect());
        let fix = "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192";
        assert_eq!(found(&site, neighbour_limit)[0].fix, fix);
        site.network.neighbour_limit = Err("hidden".to_owned());
        assert_eq!(found(&site, neighbour_limit)[0].severity, Severity::NotChecked);
    }

    #[test]
    fn a_silent_router_is_reported_once_for_all_behind_it() {
        let mut site = made::site();
        let router = IpAddr::from([10, 0, 0, 254]);
        let route = Route { ifindex: 3, neighbour: router, source: [10, 0, 0, 1].into() };
        let behind = (1..=5).map(|last| (IpAddr::from([192, 0, 2, last]), Ok(route.clone())));
        site.network.routes = Ok(behind.collect());
        site.network.silent = Ok([("eth1".to_owned(), [10, 0, 0, 254].into())].into());
        let found = found(&site, silent);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].message.ends_with("192.0.2.1, 192.0.2.2, 192.0.2.3 and 2 more"),
            "{found:?}"
        );
    }

    #[test]
    fn next_hops_that_are_not_asked_for_are_counted() {
        let mut site = made::site();
        site.network.unasked_hops = 44;
        let found = found(&site, silent);
        assert_eq!(found[0].severity, Severity::NotChecked);
        assert!(found[0].message.starts_with("44 addresses were not asked"), "{found:?}");
    }

    #[test]
    fn nothing_is_said_of_routes_while_an_interface_is_down() {
        let mut site = made::site();
        site.network.routes =
            Ok([(IpAddr::from([192, 0, 2, 1]), Err("no route".to_owned()))].into());
        assert_eq!(found(&site, unroutable).len(), 1);
        site.links[1].interface.up = false;
        assert!(found(&site, unroutable).is_empty());
    }
}
