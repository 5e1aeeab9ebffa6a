//! Next hop resolution: follows the kernel's links, routes and neighbours by rtnetlink, makes the
//! kernel resolve unknown neighbours, and keeps probing known ones to detect MAC addresses that
//! change silently.

mod ask;
mod broadcast;
mod feed;
mod follower;
mod hops;
mod query;
mod route;
mod table;
mod vips;
mod watch_requests;
mod watched;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    net::{IpAddr, Ipv4Addr},
};

use anyhow::Result;
use tokio::{sync::mpsc, task::JoinHandle};

pub use self::query::{
    AttachMode, XdpAttached, confirmed, interface, interface_to, links, local_addresses, routes,
    xdp_attached,
};
pub use self::route::Route;
pub use self::vips::{unrouted, unrouted_message};
use self::{
    follower::Follower,
    watch_requests::{WatchRequest, WatchRequests},
};

/// Next hop of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    pub interface: String,
    /// MAC address of the interface.
    pub src_mac: [u8; 6],
    /// The gateway, or the address itself.
    pub neighbour: IpAddr,
    /// MAC address of the neighbour.
    pub dst_mac: [u8; 6],
    /// Source address that the kernel would select.
    pub source: IpAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    Resolved(NextHop),
    /// Reason, for display.
    Unresolved(String),
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub ifindex: u32,
    pub name: String,
    /// MAC address. None unless it is an Ethernet-like interface.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Administratively up, with a carrier.
    pub up: bool,
    /// Index of the lower interface, as of a macvlan.
    pub parent: Option<u32>,
    /// Index of the bridge or bond that it is a port of.
    pub controller: Option<u32>,
}

/// This host's own addresses, each with its interface index.
pub type OwnAddresses = BTreeSet<(u32, IpAddr)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// The resolution of a watched address has changed, or was requested again.
    NextHop { address: IpAddr, resolution: Resolution },
    /// An interface was added or changed.
    Link(Interface),
    /// An interface was removed; this is its last state.
    LinkGone(Interface),
    /// All current addresses of this host.
    Own(OwnAddresses),
    /// Current broadcast addresses of all networks of this host.
    Broadcasts(BTreeSet<Ipv4Addr>),
}

/// Follows the network until it is dropped.
#[derive(Debug)]
pub struct Neighbours {
    /// Number of watches per address.
    watched: HashMap<IpAddr, usize>,
    watch_requests: WatchRequests,
    task: JoinHandle<()>,
}

impl Neighbours {
    /// Starts to follow the calling thread's network namespace. Must be called within a tokio
    /// runtime.
    pub fn start(events: mpsc::Sender<NetworkEvent>) -> Result<Self> {
        let watch_requests = WatchRequests::default();
        let follower = Follower::start(watch_requests.clone(), events)?;
        let task = tokio::spawn(follower.run());
        Ok(Self { watched: HashMap::new(), watch_requests, task })
    }

    /// Watches an address until it is forgotten as often as it was watched. If its neighbour has
    /// not answered for three seconds, it is reported as unresolved, and probed every second.
    pub fn watch(&mut self, address: IpAddr) {
        let count = self.watched.entry(address).or_default();
        *count += 1;
        if *count == 1 {
            self.watch_requests.make([(address, WatchRequest::Watch)]);
        }
    }

    pub fn forget(&mut self, address: IpAddr) {
        let Entry::Occupied(mut count) = self.watched.entry(address) else {
            return;
        };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
            self.watch_requests.make([(address, WatchRequest::Forget)]);
        }
    }

    /// Requests another event for a watched address.
    pub fn tell(&self, address: IpAddr) {
        self.watch_requests.make([(address, WatchRequest::Watch)]);
    }

    /// Requests another event for all watched addresses.
    pub fn tell_again(&self) {
        self.watch_requests
            .make(self.watched.keys().map(|address| (*address, WatchRequest::Watch)));
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
