//! Broadcast addresses of this host's networks: no host sends from them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

/// Networks with a prefix of this length or longer have no broadcast address (RFC 3021).
const POINT_TO_POINT: u8 = 31;

/// An address of this host: interface index, address, prefix length.
type Id = (u32, IpAddr, u8);

/// Broadcast addresses by own address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Broadcasts(BTreeMap<Id, Vec<Ipv4Addr>>);

impl Broadcasts {
    /// Adds or updates an address. Returns whether anything is new.
    pub(super) fn set(&mut self, message: &AddressMessage) -> bool {
        let Some((id, broadcasts)) = read(message) else { return false };
        self.0.insert(id, broadcasts.clone()) != Some(broadcasts)
    }

    /// Removes an address. Returns whether it was known.
    pub(super) fn remove(&mut self, message: &AddressMessage) -> bool {
        read(message).is_some_and(|(id, _)| self.0.remove(&id).is_some())
    }

    pub(super) fn all(&self) -> BTreeSet<Ipv4Addr> {
        self.0.values().flatten().copied().collect()
    }
}

/// Derives them like the kernel: the configured one, and the last address of the network.
fn read(message: &AddressMessage) -> Option<(Id, Vec<Ipv4Addr>)> {
    let (mut local, mut peer, mut broadcasts) = (None, None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => local = Some(*address),
            AddressAttribute::Address(IpAddr::V4(address)) => peer = Some(*address),
            AddressAttribute::Broadcast(address) => broadcasts.push(*address),
            _ => {}
        }
    }
    let prefix = message.header.prefix_len;
    let in_network = peer.or(local)?;
    if prefix < POINT_TO_POINT {
        broadcasts.push(Ipv4Net::new(in_network, prefix).ok()?.broadcast());
    }
    let id = (message.header.index, local.unwrap_or(in_network).into(), prefix);
    Some((id, broadcasts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(address: [u8; 4], prefix_len: u8) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = 2;
        message.header.prefix_len = prefix_len;
        let address = IpAddr::from(address);
        message.attributes =
            vec![AddressAttribute::Address(address), AddressAttribute::Local(address)];
        message
    }

    #[test]
    fn networks_have_the_broadcast_addresses_that_the_kernel_gives_them() {
        let mut broadcasts = Broadcasts::default();
        for prefix in [31, 32] {
            broadcasts.set(&message([10, 0, 0, 7], prefix));
        }
        assert!(broadcasts.all().is_empty());
        assert!(broadcasts.set(&message([10, 0, 0, 7], 24)));
        assert!(!broadcasts.set(&message([10, 0, 0, 7], 24)));
        broadcasts.set(&message([10, 0, 0, 7], 16));
        let all = |broadcasts: &Broadcasts| Vec::from_iter(broadcasts.all());
        let [small, large] = [[10, 0, 0, 255], [10, 0, 255, 255]].map(Ipv4Addr::from);
        assert_eq!(all(&broadcasts), [small, large]);
        assert!(broadcasts.remove(&message([10, 0, 0, 7], 24)));
        assert_eq!(all(&broadcasts), [large]);
        let mut named = message([10, 0, 0, 7], 16);
        named.attributes.push(AddressAttribute::Broadcast([10, 0, 9, 9].into()));
        assert!(broadcasts.set(&named));
        assert_eq!(all(&broadcasts), [Ipv4Addr::from([10, 0, 9, 9]), large]);
        assert!(broadcasts.set(&message([10, 0, 0, 7], 16)));
        assert_eq!(all(&broadcasts), [large]);
    }

    #[test]
    fn a_point_to_point_link_is_on_its_peers_network() {
        let mut link = message([192, 0, 2, 1], 24);
        link.attributes[0] = AddressAttribute::Address([198, 51, 100, 1].into());
        let mut broadcasts = Broadcasts::default();
        broadcasts.set(&link);
        assert_eq!(Vec::from_iter(broadcasts.all()), [Ipv4Addr::from([198, 51, 100, 255])]);
    }
}
