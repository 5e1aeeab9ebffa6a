//! Where packets to an address go: follows the kernel's links, routes and neighbours by rtnetlink,
//! and has the kernel resolve the neighbours that it does not know.

mod feed;
mod follower;
mod query;
mod route;
mod table;
mod watched;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
};

use anyhow::Result;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::follower::Follower;
pub use self::query::{XdpAttached, XdpMode, interface, local_addresses, xdp_attached};

/// How a frame reaches an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    pub interface: String,
    /// The interface's own.
    pub src_mac: [u8; 6],
    /// That of the address's host, or of the gateway to it.
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkEvent {
    /// A watched address has another resolution than was told, or its first.
    NextHop { address: IpAddr, resolution: Resolution },
    /// An interface has appeared or has changed.
    Link(Interface),
    /// An interface is gone; this is what it last was.
    LinkGone(Interface),
}

/// Follows the network until it is dropped.
#[derive(Debug)]
pub struct Neighbours {
    /// How often each address is to be watched.
    wanted: HashMap<IpAddr, usize>,
    watched: watch::Sender<HashSet<IpAddr>>,
    task: JoinHandle<()>,
}

impl Neighbours {
    /// Starts to follow the calling thread's network namespace. To be called within a tokio
    /// runtime.
    pub fn start(events: mpsc::Sender<NetworkEvent>) -> Result<Self> {
        let (watched, receiver) = watch::channel(HashSet::new());
        let follower = Follower::start(receiver, events)?;
        let task = tokio::spawn(follower.run());
        Ok(Self { wanted: HashMap::new(), watched, task })
    }

    /// Watches an address, once more. One whose neighbour the kernel has asked for in vain, which
    /// takes three seconds, is told to be unresolved and asked for again every second.
    pub fn watch(&mut self, address: IpAddr) {
        let wanted = self.wanted.entry(address).or_default();
        *wanted += 1;
        if *wanted == 1 {
            self.watched.send_if_modified(|watched| watched.insert(address));
        }
    }

    /// Watches an address once less.
    pub fn forget(&mut self, address: IpAddr) {
        let Some(wanted) = self.wanted.get_mut(&address) else { return };
        *wanted -= 1;
        if *wanted == 0 {
            self.wanted.remove(&address);
            self.watched.send_if_modified(|watched| watched.remove(&address));
        }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
