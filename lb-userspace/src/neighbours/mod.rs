//! Where packets to an address go: follows the kernel's links, routes and neighbours by rtnetlink,
//! has the kernel resolve the neighbours that it does not know, and keeps asking those that it
//! knows, so that one whose MAC address changes without a word is found out.

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

pub use self::query::{AttachMode, XdpAttached, interface, links, local_addresses, xdp_attached};
pub use self::vips::{unrouted, unrouted_message};
use self::{
    follower::Follower,
    watch_requests::{WatchRequest, WatchRequests},
};

/// How a frame reaches an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    pub interface: String,
    /// The interface's own.
    pub src_mac: [u8; 6],
    /// Whom frames go to: the gateway, or the address itself.
    pub neighbour: IpAddr,
    /// The neighbour's.
    pub dst_mac: [u8; 6],
    /// The source address that the kernel itself would take.
    pub source: IpAddr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    Resolved(NextHop),
    /// Why not, for people.
    Unresolved(String),
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub ifindex: u32,
    pub name: String,
    /// None unless it is like Ethernet.
    pub mac: Option<[u8; 6]>,
    /// In bytes, without the Ethernet header.
    pub mtu: u32,
    /// Switched on, with a carrier.
    pub up: bool,
    /// The interface that it stands on, as a macvlan does.
    pub parent: Option<u32>,
    /// The bridge or bond that it is a port of.
    pub controller: Option<u32>,
}

/// This host's own addresses, each with the index of the interface that it is on.
pub type OwnAddresses = BTreeSet<(u32, IpAddr)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A watched address has another resolution than was told, or is told again.
    NextHop { address: IpAddr, resolution: Resolution },
    /// An interface has appeared or has changed.
    Link(Interface),
    /// An interface is gone; this is what it last was.
    LinkGone(Interface),
    /// All addresses of this host, as they are now.
    Own(OwnAddresses),
    /// The broadcast addresses of all networks that this host is on, as they are now.
    Broadcasts(BTreeSet<Ipv4Addr>),
}

/// Follows the network until it is dropped.
#[derive(Debug)]
pub struct Neighbours {
    /// How often each address is watched.
    watched: HashMap<IpAddr, usize>,
    watch_requests: WatchRequests,
    task: JoinHandle<()>,
}

impl Neighbours {
    /// Starts to follow the calling thread's network namespace. To be called within a tokio
    /// runtime.
    pub fn start(events: mpsc::Sender<NetworkEvent>) -> Result<Self> {
        let watch_requests = WatchRequests::default();
        let follower = Follower::start(watch_requests.clone(), events)?;
        let task = tokio::spawn(follower.run());
        Ok(Self { watched: HashMap::new(), watch_requests, task })
    }

    /// Watches an address until it is forgotten as often as it was watched. One whose neighbour has
    /// not answered for three seconds is told to be unresolved, and asked for again every second.
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

    /// Has a watched address's resolution told once more.
    pub fn tell(&self, address: IpAddr) {
        self.watch_requests.make([(address, WatchRequest::Watch)]);
    }

    /// Has the resolutions of all watched addresses told once more.
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
