//! The kernel's links and neighbours, as far as it has told of them.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use futures_util::TryStreamExt as _;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    },
};

use super::{Interface, NetworkEvent};

pub(super) type Mac = [u8; 6];

/// By index.
pub(super) type Links = BTreeMap<u32, Interface>;

#[derive(Debug, Default)]
pub(super) struct Table {
    links: Links,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) state: NeighbourState,
    pub(super) mac: Option<Mac>,
}

impl Table {
    /// Asks the kernel for all it knows.
    pub(super) async fn dump(netlink: &Handle) -> Result<Self, Error> {
        let mut table = Self::default();
        let mut links = netlink.link().get().execute();
        while let Some(link) = links.try_next().await? {
            table.apply(RouteNetlinkMessage::NewLink(link));
        }
        let mut neighbours = netlink.neighbours().get().execute();
        while let Some(neighbour) = neighbours.try_next().await? {
            table.apply(RouteNetlinkMessage::NewNeighbour(neighbour));
        }
        Ok(table)
    }

    /// Takes a change in. Returns whether routes may be others after it.
    pub(super) fn apply(&mut self, change: RouteNetlinkMessage) -> bool {
        match change {
            RouteNetlinkMessage::NewLink(message) => {
                let Some(link) = interface(&message) else {
                    return false;
                };
                self.links.insert(link.ifindex, link);
                true
            }
            RouteNetlinkMessage::DelLink(message) => {
                is_whole(&message) && self.links.remove(&message.header.index).is_some()
            }
            RouteNetlinkMessage::NewNeighbour(message) => {
                self.neighbours.extend(neighbour(&message));
                false
            }
            RouteNetlinkMessage::DelNeighbour(message) => {
                if let Some((key, _)) = neighbour(&message) {
                    self.neighbours.remove(&key);
                }
                false
            }
            _ => true,
        }
    }

    pub(super) fn link(&self, ifindex: u32) -> Option<&Interface> {
        self.links.get(&ifindex)
    }

    pub(super) fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<Neighbour> {
        self.neighbours.get(&(ifindex, address)).copied()
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }
}

/// What has become of interfaces.
pub(super) fn link_events(before: &Links, now: &Links) -> Vec<NetworkEvent> {
    let gone = before
        .values()
        .filter(|link| !now.contains_key(&link.ifindex))
        .map(|link| NetworkEvent::LinkGone(link.clone()));
    let changed = now
        .values()
        .filter(|link| before.get(&link.ifindex) != Some(*link))
        .map(|link| NetworkEvent::Link(link.clone()));
    gone.chain(changed).collect()
}

pub(super) fn interface(message: &LinkMessage) -> Option<Interface> {
    if !is_whole(message) {
        return None;
    }
    let mut name = None;
    let mut mac = None;
    let mut mtu = 0;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Address(bytes) => mac = Mac::try_from(bytes.as_slice()).ok(),
            LinkAttribute::Mtu(value) => mtu = *value,
            _ => {}
        }
    }
    Some(Interface {
        ifindex: message.header.index,
        name: name?,
        mac: mac.filter(|_| message.header.link_layer_type == LinkLayerType::Ether),
        mtu,
        up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
    })
}

/// A bridge tells of its ports as if these were links of their own family.
fn is_whole(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

fn neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(value)) => {
                address = Some(IpAddr::from(*value));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(value)) => {
                address = Some(IpAddr::from(*value));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = Mac::try_from(bytes.as_slice()).ok();
            }
            _ => {}
        }
    }
    let state = message.header.state;
    Some(((message.header.ifindex, address?), Neighbour { state, mac }))
}
