//! The watched addresses.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::IpAddr,
    time::Instant,
};

use ipnet::IpNet;

use super::{
    NetworkEvent, NextHop, Resolution,
    hops::{Hops, Question},
    route::Route,
    table::{NeighbourId, Table},
};

#[derive(Debug, Default)]
pub(super) struct Watched {
    addresses: BTreeMap<IpAddr, Address>,
    hops: Hops,
    /// Addresses whose resolution may differ from the reported one.
    doubtful: BTreeSet<IpAddr>,
    /// Addresses whose route may differ from the known one.
    outdated: BTreeSet<IpAddr>,
    /// Addresses that have been outdated long enough.
    settled: BTreeSet<IpAddr>,
}

#[derive(Debug)]
struct Address {
    /// Route, or the reason that there is none.
    route: Result<Route, String>,
    told: Option<Resolution>,
}

impl Watched {
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// Requests a report of an address's resolution as soon as it is known. Returns true if the
    /// address is new, and its route must be looked up.
    pub(super) fn watch(&mut self, address: IpAddr) -> bool {
        match self.addresses.entry(address) {
            Entry::Occupied(known) => {
                known.into_mut().told = None;
                self.doubtful.insert(address);
                false
            }
            Entry::Vacant(new) => {
                let route = Err(format!("no route to {address} yet"));
                new.insert(Address { route, told: None });
                true
            }
        }
    }

    pub(super) fn forget(&mut self, address: IpAddr) {
        if let Some(Address { route: Ok(route), .. }) = self.addresses.remove(&address) {
            self.hops.leave(route.next(), address);
        }
        for waiting in [&mut self.doubtful, &mut self.outdated, &mut self.settled] {
            waiting.remove(&address);
        }
    }

    pub(super) fn doubt_all(&mut self) {
        self.doubtful.extend(self.addresses.keys());
    }

    pub(super) fn doubt_users_of(&mut self, neighbour: NeighbourId) {
        self.doubtful.extend(self.hops.users(neighbour));
    }

    pub(super) fn outdate_all(&mut self) {
        self.outdated.extend(self.addresses.keys());
    }

    pub(super) fn outdate_within(&mut self, net: IpNet) {
        let within = self.addresses.range(net.network()..=net.broadcast());
        self.outdated.extend(within.map(|(address, _)| *address));
    }

    /// Takes the addresses whose routes are to be looked up: those that were already outdated at
    /// the last call, as the kernel reports some changes before it removes the affected routes.
    pub(super) fn take_outdated(&mut self) -> BTreeSet<IpAddr> {
        std::mem::replace(&mut self.settled, std::mem::take(&mut self.outdated))
    }

    /// Stores the result of a lookup.
    pub(super) fn set_route(&mut self, address: IpAddr, route: Result<Route, String>) {
        let Some(known) = self.addresses.get_mut(&address) else {
            return;
        };
        let next = |route: &Result<Route, String>| route.as_ref().ok().map(Route::next);
        let (before, now) = (next(&known.route), next(&route));
        known.route = route;
        self.doubtful.insert(address);
        if before == now {
            return;
        }
        if let Some(left) = before {
            self.hops.leave(left, address);
        }
        if let Some(joined) = now {
            self.hops.join(joined, address);
        }
    }

    /// Returns the requests to neighbours that are due.
    pub(super) fn questions(
        &mut self,
        table: &Table,
        now: Instant,
    ) -> Vec<(NeighbourId, Question)> {
        self.doubtful.extend(self.hops.listen(table, now));
        self.hops.questions(table, now)
    }

    /// Returns the resolutions to report.
    pub(super) fn news(&mut self, table: &Table) -> Vec<NetworkEvent> {
        let mut news = Vec::new();
        for address in std::mem::take(&mut self.doubtful) {
            let Some(known) = self.addresses.get_mut(&address) else {
                continue;
            };
            let Some(resolution) = resolve(table, &self.hops, &known.route) else {
                continue;
            };
            if known.told.as_ref() != Some(&resolution) {
                known.told = Some(resolution.clone());
                news.push(NetworkEvent::NextHop { address, resolution });
            }
        }
        news
    }
}

/// Returns None while the neighbour may still answer.
fn resolve(table: &Table, hops: &Hops, route: &Result<Route, String>) -> Option<Resolution> {
    let unresolved = |reason| Some(Resolution::Unresolved(reason));
    let route = match route {
        Ok(route) => route,
        Err(reason) => return unresolved(reason.clone()),
    };
    let Some(link) = table.link(route.ifindex) else {
        return unresolved(format!("interface {} is gone", route.ifindex));
    };
    if !link.up {
        return unresolved(format!("interface {} is down", link.name));
    }
    let Some(src_mac) = link.mac else {
        return unresolved(format!("interface {} is not Ethernet", link.name));
    };
    let Some(dst_mac) = table.mac(route.next()) else {
        let (neighbour, name) = (route.neighbour, &link.name);
        let by = if neighbour.is_ipv4() { "ARP" } else { "neighbour discovery" };
        let reason = format!("neighbour {neighbour} on {name} does not answer {by}");
        return hops.is_given_up(route.next()).then_some(Resolution::Unresolved(reason));
    };
    Some(Resolution::Resolved(NextHop {
        ifindex: link.ifindex,
        interface: link.name.clone(),
        src_mac,
        neighbour: route.neighbour,
        dst_mac,
        source: route.source,
    }))
}

#[cfg(test)]
mod tests;
