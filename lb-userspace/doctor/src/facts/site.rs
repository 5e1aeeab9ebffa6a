//! What the configuration needs of this host.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use futures_util::future::join_all;
use lb_config::Config;
use lb_host::{listeners::Listeners, local_ports::LocalPorts, netlink};
use procfs::{CpuInfo, Current as _};

use super::{Link, Network, Seen, Storage, bounded, bounded::known, links};

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) config: Config,
    pub(crate) cpus: Seen<usize>,
    /// The configured interfaces that exist.
    pub(crate) links: Vec<Link>,
    /// Interfaces that could not be read, with the reason.
    pub(crate) unread: BTreeMap<String, String>,
    pub(crate) network: Network,
    pub(crate) listeners: Seen<Listeners>,
    pub(crate) local_ports: Seen<LocalPorts>,
    /// Programs of checks that cannot be run, by service.
    pub(crate) programs: Seen<BTreeMap<String, String>>,
    pub(crate) storage: Storage,
}

impl Site {
    pub(super) async fn gather(config: Config) -> Self {
        let (links, unread) = read_links(&config).await;
        let vips: Vec<SocketAddr> = config.services.iter().map(|one| one.vip.address).collect();
        let (network, listeners, local_ports, programs, cpus, storage) = tokio::join!(
            Network::gather(&config, &links),
            bounded(move || Listeners::read(vips)),
            bounded(LocalPorts::read),
            programs(&config),
            bounded(|| CpuInfo::current().map(|found| found.num_cores())),
            Storage::gather(&config),
        );
        Self {
            config,
            cpus: known(cpus),
            links,
            unread,
            network,
            listeners: known(listeners),
            local_ports: known(local_ports),
            programs,
            storage,
        }
    }

    /// Returns the interface that exists under this name.
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name() == name)
    }

    /// Returns true if all configured interfaces are up.
    pub(crate) fn is_up(&self) -> bool {
        let is_up = |name: &String| self.link(name).is_some_and(|link| link.interface.up);
        self.config.interfaces.iter().all(is_up)
    }

    /// Returns the interface to the network of an address.
    pub(crate) fn towards(&self, address: IpAddr) -> Option<&Link> {
        let IpAddr::V4(address) = address else { return None };
        let own = self.network.addresses.iter().flatten().find(|own| own.reaches(address))?;
        self.link(&own.interface)
    }
}

async fn read_links(config: &Config) -> (Vec<Link>, BTreeMap<String, String>) {
    let (mut links, mut unread) = (Vec::new(), BTreeMap::new());
    let netlink = netlink::connect().map_err(|error| error.to_string());
    let read = config.interfaces.iter().map(async |name| {
        let read = match &netlink {
            Ok(netlink) => links::read(netlink, name, &config.bpffs).await,
            Err(reason) => Err(reason.clone()),
        };
        (name, read)
    });
    for (name, read) in join_all(read).await {
        match read {
            Ok(link) => links.extend(link),
            Err(reason) => drop(unread.insert(name.clone(), reason)),
        }
    }
    (links, unread)
}

async fn programs(config: &Config) -> Seen<BTreeMap<String, String>> {
    let checks = config.services.iter().map(|one| (one.name.clone(), one.policy.health.clone()));
    let checks: Vec<_> = checks.collect();
    bounded(move || {
        let faults = checks.into_iter();
        faults
            .filter_map(|(name, check)| Some((name, lb_config::program_warning(&check)?)))
            .collect()
    })
    .await
}
