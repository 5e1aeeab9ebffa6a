//! This host's network, as the configuration needs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use futures_util::future::join_all;
use lb_config::Config;
use lb_neighbours::Route;

use super::{
    Link, OwnAddress, Seen, addresses,
    arp::{Answers, Mac, Questions},
    bounded,
    bounded::{in_time, known},
    sysctl,
};

/// Addresses of a kind that are asked for at once, at most.
pub(crate) const MOST_ASKED: usize = 256;

/// An interface's name, and an address there.
pub(crate) type Place = (String, Ipv4Addr);

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) addresses: Seen<Vec<OwnAddress>>,
    /// VIPs that no packets come in for.
    pub(crate) unrouted: Seen<BTreeSet<IpAddr>>,
    /// Routes to backends.
    pub(crate) routes: Seen<BTreeMap<IpAddr, Result<Route, String>>>,
    /// Next hops that do not answer.
    pub(crate) silent: Seen<BTreeSet<Place>>,
    /// Others that claim a VIP or a source address.
    pub(crate) claims: Seen<BTreeMap<Place, BTreeSet<Mac>>>,
    /// Number of next hops that were not asked for.
    pub(crate) unasked_hops: usize,
    /// Number of VIPs and source addresses that were not asked for.
    pub(crate) unasked_addresses: usize,
    /// Visible only in the host's first network namespace.
    pub(crate) neighbour_limit: Seen<u32>,
}

/// What is to be asked for.
#[derive(Debug)]
struct Unknown {
    /// Next hops, each with this host's address there.
    hops: BTreeMap<Place, Ipv4Addr>,
    /// Addresses that nobody else may have.
    own: BTreeSet<Place>,
    /// MAC addresses of this host: each of its interfaces may answer for any of its addresses.
    macs: BTreeSet<Mac>,
}

impl Network {
    pub(super) async fn gather(config: &Config, links: &[Link]) -> Self {
        let vips = config.services.iter().map(|service| service.vip.address.ip());
        let backends = config.services.iter().flat_map(|service| &service.backends);
        let backends: BTreeSet<IpAddr> = backends.map(|one| one.address.ip()).collect();
        let (addresses, unrouted, routes, confirmed, limit, macs) = tokio::join!(
            bounded(addresses::own),
            in_time(lb_neighbours::unrouted(vips)),
            in_time(lb_neighbours::routes(backends)),
            in_time(lb_neighbours::confirmed()),
            bounded(|| sysctl::number("net/ipv4/neigh/default/gc_thresh3")),
            in_time(lb_neighbours::links()),
        );
        let mut network = Self {
            addresses: addresses.flatten(),
            unrouted: known(unrouted),
            routes: known(routes),
            silent: Ok(BTreeSet::new()),
            claims: Ok(BTreeMap::new()),
            unasked_hops: 0,
            unasked_addresses: 0,
            neighbour_limit: limit.flatten(),
        };
        let confirmed = known(confirmed).unwrap_or_default();
        let (hops, own);
        (hops, network.unasked_hops) = first(network.unconfirmed(links, &confirmed));
        (own, network.unasked_addresses) = first(network.exclusive(config));
        let unknown = Unknown {
            hops,
            own,
            macs: known(macs).into_iter().flatten().filter_map(|link| link.mac).collect(),
        };
        network.ask(links, unknown).await;
        network
    }

    /// Asks by ARP.
    async fn ask(&mut self, links: &[Link], unknown: Unknown) {
        let questions = links.iter().filter_map(|link| unknown.questions(link));
        let (names, questions): (Vec<_>, Vec<_>) = questions.unzip();
        let tasks = questions.into_iter().map(|questions| bounded(move || questions.ask()));
        let answers = join_all(tasks).await.into_iter().map(Seen::flatten);
        let answers = names.into_iter().zip(answers).map(|(name, answers)| Ok((name, answers?)));
        let answers: Seen<BTreeMap<String, Answers>> = answers.collect();
        self.silent = answers.clone().map(|answers| {
            let is_silent = |(name, hop): &Place| {
                answers.get(name).is_some_and(|answers| !answers.contains_key(hop))
            };
            unknown.hops.into_keys().filter(is_silent).collect()
        });
        self.claims = answers.map(|answers| {
            let others = |(name, address): Place| {
                let macs = answers.get(&name)?.get(&address)?;
                let macs: BTreeSet<_> = macs.difference(&unknown.macs).copied().collect();
                (!macs.is_empty()).then_some(((name, address), macs))
            };
            unknown.own.into_iter().filter_map(others).collect()
        });
    }

    /// Returns the next hops on our interfaces that have not answered lately.
    fn unconfirmed(
        &self,
        links: &[Link],
        confirmed: &BTreeSet<(u32, IpAddr)>,
    ) -> BTreeMap<Place, Ipv4Addr> {
        let hops =
            self.found().filter(|route| !confirmed.contains(&(route.ifindex, route.neighbour)));
        let hops = hops.filter_map(|route| {
            let link = links.iter().find(|link| link.interface.ifindex == route.ifindex)?;
            match (route.neighbour, route.source) {
                (IpAddr::V4(hop), IpAddr::V4(source)) if link.does_arp => {
                    Some(((link.name().to_owned(), hop), source))
                }
                _ => None,
            }
        });
        hops.collect()
    }

    /// Returns the addresses that nobody else may have, with the interfaces to their networks.
    fn exclusive(&self, config: &Config) -> BTreeSet<Place> {
        let vips = config.services.iter().map(|service| service.vip.address.ip());
        let sources = self.found().map(|route| route.source);
        let sources = sources.chain(config.snat_addresses.iter().copied());
        let wanted = vips.chain(sources).filter(|address| !config.is_grouped(*address));
        let wanted: BTreeSet<IpAddr> = wanted.collect();
        let places = self.addresses.iter().flatten().flat_map(|own| {
            let reached = wanted.iter().filter_map(|address| match address {
                IpAddr::V4(address) if own.reaches(*address) => Some(*address),
                _ => None,
            });
            reached.map(|address| (own.interface.clone(), address))
        });
        places.collect()
    }

    fn found(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().flatten().filter_map(|(_, route)| route.as_ref().ok())
    }

    /// Returns true if an address is one of this host's own.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.addresses.iter().flatten().any(|own| IpAddr::V4(own.address()) == address)
    }
}

/// Returns what is asked for at once, and the number of the others.
fn first<T, C: IntoIterator<Item = T> + FromIterator<T>>(all: C) -> (C, usize) {
    let mut all = all.into_iter();
    (all.by_ref().take(MOST_ASKED).collect(), all.count())
}

impl Unknown {
    /// Returns the questions on an interface, unless there are none.
    fn questions(&self, link: &Link) -> Option<(String, Questions)> {
        let (name, ifindex) = (link.name(), link.interface.ifindex);
        let mac = link.interface.mac.filter(|_| link.does_arp && link.interface.up)?;
        let hops = self.hops.iter().filter(|((on, _), _)| on == name);
        let hops = hops.map(|((_, hop), source)| (*hop, *source));
        let own = self.own.iter().filter(|(on, _)| on == name);
        let own = own.map(|(_, address)| (*address, Ipv4Addr::UNSPECIFIED));
        let targets: BTreeMap<_, _> = hops.chain(own).collect();
        let is_any = !targets.is_empty();
        is_any.then(|| (name.to_owned(), Questions { ifindex, mac, targets }))
    }
}
