//! Copy of the kernel's links, neighbours and own addresses, as far as it has reported them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::{
    Error, Handle,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
        route::{RouteAddress, RouteAttribute, RouteMessage},
    },
};

use super::{Interface, NetworkEvent, OwnAddresses, broadcast::Broadcasts};

pub(super) type Mac = [u8; 6];

/// Interfaces by index.
pub(super) type Links = BTreeMap<u32, Interface>;

/// Interface index and address of a neighbour.
pub(super) type NeighbourId = (u32, IpAddr);

#[derive(Debug, Default)]
pub(super) struct Table {
    links: Links,
    neighbours: HashMap<NeighbourId, Neighbour>,
    own: OwnAddresses,
    broadcasts: Broadcasts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) state: NeighbourState,
    /// Set if the entry is maintained by something other than the kernel's ARP or neighbour
    /// discovery.
    pub(super) is_fixed: bool,
    mac: Option<Mac>,
}

/// State that a change may affect.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    /// The MAC address of a neighbour.
    Neighbour(NeighbourId),
    /// The routes to these addresses.
    Routes(IpNet),
    AllRoutes,
    /// This host's own addresses or its networks, and all routes.
    Own,
    /// All routes, and an interface.
    Link(NetworkEvent),
}

impl Table {
    /// Reads the whole state from the kernel.
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
        let mut addresses = netlink.address().get().execute();
        while let Some(address) = addresses.try_next().await? {
            table.apply(RouteNetlinkMessage::NewAddress(address));
        }
        Ok(table)
    }

    pub(super) fn apply(&mut self, change: RouteNetlinkMessage) -> Effect {
        match change {
            RouteNetlinkMessage::NewLink(message) => self.link_is(&message),
            RouteNetlinkMessage::DelLink(message) => self.link_is_gone(&message),
            RouteNetlinkMessage::NewNeighbour(message) => {
                neighbour(&message).map_or(Effect::Nothing, |(id, now)| {
                    let before = self.neighbours.insert(id, now);
                    effect_on_neighbour(id, before, Some(now))
                })
            }
            RouteNetlinkMessage::DelNeighbour(message) => neighbour(&message)
                .map_or(Effect::Nothing, |(id, _)| {
                    effect_on_neighbour(id, self.neighbours.remove(&id), None)
                }),
            RouteNetlinkMessage::NewAddress(message) => {
                let is_new = own(&message).is_some_and(|address| self.own.insert(address));
                let is_other = self.broadcasts.set(&message);
                if is_new || is_other { Effect::Own } else { Effect::Nothing }
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let was_there = own(&message).is_some_and(|address| self.own.remove(&address));
                let is_other = self.broadcasts.remove(&message);
                if was_there || is_other { Effect::Own } else { Effect::Nothing }
            }
            RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
                destination(&message).map_or(Effect::Nothing, Effect::Routes)
            }
            _ => Effect::AllRoutes,
        }
    }

    fn link_is(&mut self, message: &LinkMessage) -> Effect {
        let Some(link) = interface(message) else {
            return Effect::Nothing;
        };
        let before = self.links.insert(link.ifindex, link.clone());
        if before.as_ref() == Some(&link) {
            return Effect::Nothing;
        }
        Effect::Link(NetworkEvent::Link(link))
    }

    fn link_is_gone(&mut self, message: &LinkMessage) -> Effect {
        if !is_whole(message) {
            return Effect::Nothing;
        }
        let gone = self.links.remove(&message.header.index);
        gone.map_or(Effect::Nothing, |link| Effect::Link(NetworkEvent::LinkGone(link)))
    }

    pub(super) fn link(&self, ifindex: u32) -> Option<&Interface> {
        self.links.get(&ifindex)
    }

    pub(super) fn neighbour(&self, id: NeighbourId) -> Option<Neighbour> {
        self.neighbours.get(&id).copied()
    }

    /// Returns the MAC address of a neighbour.
    pub(super) fn mac(&self, id: NeighbourId) -> Option<Mac> {
        self.neighbour(id)?.mac()
    }

    pub(super) fn links(&self) -> &Links {
        &self.links
    }

    pub(super) fn broadcasts(&self) -> &Broadcasts {
        &self.broadcasts
    }

    pub(super) fn own(&self) -> &OwnAddresses {
        &self.own
    }
}

impl Neighbour {
    fn mac(self) -> Option<Mac> {
        match self.state {
            NeighbourState::None | NeighbourState::Incomplete | NeighbourState::Failed => None,
            _ => self.mac,
        }
    }
}

fn effect_on_neighbour(
    id: NeighbourId,
    before: Option<Neighbour>,
    now: Option<Neighbour>,
) -> Effect {
    let mac = |neighbour: Option<Neighbour>| neighbour.and_then(Neighbour::mac);
    if mac(before) == mac(now) { Effect::Nothing } else { Effect::Neighbour(id) }
}

/// Returns the differences between two states of the interfaces.
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
    let (mut parent, mut controller) = (None, None);
    let mut is_parent_elsewhere = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::Address(bytes) => mac = Mac::try_from(bytes.as_slice()).ok(),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::Link(value) => parent = Some(*value),
            LinkAttribute::LinkNetNsId(_) => is_parent_elsewhere = true,
            LinkAttribute::Controller(value) => controller = Some(*value),
            _ => {}
        }
    }
    Some(Interface {
        ifindex: message.header.index,
        name: name?,
        mac: mac.filter(|_| message.header.link_layer_type == LinkLayerType::Ether),
        mtu,
        up: message.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        parent: parent.filter(|_| !is_parent_elsewhere),
        controller,
    })
}

/// Returns false for a bridge's messages about its ports, which are of a family of their own.
fn is_whole(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

/// Parses one of this host's own addresses. A point-to-point link has its peer's address as the
/// other attribute.
pub(super) fn own(message: &AddressMessage) -> Option<(u32, IpAddr)> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => return Some((message.header.index, *local)),
            AddressAttribute::Address(other) => address = Some(*other),
            _ => {}
        }
    }
    Some((message.header.index, address?))
}

pub(super) fn neighbour(message: &NeighbourMessage) -> Option<(NeighbourId, Neighbour)> {
    let header = &message.header;
    // A bridge's FDB entries have the address of a tunnel endpoint.
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
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
    let is_fixed = matches!(header.state, NeighbourState::Permanent | NeighbourState::Noarp)
        || header.flags.contains(NeighbourFlags::ExtLearned);
    Some(((header.ifindex, address?), Neighbour { state: header.state, is_fixed, mac }))
}

fn destination(message: &RouteMessage) -> Option<IpNet> {
    let named = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some((*address).into()),
        _ => None,
    });
    let address = match message.header.address_family {
        AddressFamily::Inet => named.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        AddressFamily::Inet6 => named.unwrap_or(Ipv6Addr::UNSPECIFIED.into()),
        _ => return None,
    };
    IpNet::new(address, message.header.destination_prefix_length).ok()
}
