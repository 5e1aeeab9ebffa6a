//! Allowed origins of packets: input interfaces of addresses that are not clients', and this host's
//! MAC addresses.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr},
};

use anyhow::{Context as _, Result};
use lb_common::{
    address_filter,
    backend::Backend,
    limits,
    macs::{self, Slot},
    origin,
    service::ServiceKey,
    unmapped,
};
use lb_model::Limits;

use super::{maps::Maps, writer::MapWriter};
use crate::plan::{Image, Op};

pub(super) const ORIGINS: &str = "ORIGINS";
pub(super) const ORIGIN_BITS: &str = "ORIGIN_BITS";
pub(super) const OWN_MACS: &str = "OWN_MACS";

/// Maximum number of a host's own addresses and broadcast addresses.
const OWN: u32 = 4_096;

type Address = [u8; 4];

/// Returns the name and size of the map of addresses.
pub(super) fn size(limits: &Limits) -> (&'static str, u32) {
    (ORIGINS, limits.services + limits.backends + limits::FIRST_BACKEND + OWN)
}

/// Addresses that are not clients' on every interface.
#[derive(Debug, Default)]
pub(super) struct Origins {
    own: HashSet<Address>,
    /// Broadcast addresses of this host's networks.
    broadcasts: HashSet<Address>,
    vips: HashMap<Address, HashSet<ServiceKey>>,
    /// Address and output interface of each backend, by id.
    backends: HashMap<u32, (Address, u32)>,
    by_address: HashMap<Address, HashSet<u32>>,
}

impl Origins {
    /// Returns the allowed input interface of packets from an address; None for any.
    fn of(&self, address: Address) -> Option<u32> {
        if self.own.contains(&address) || self.vips.contains_key(&address) {
            return Some(origin::NOWHERE);
        }
        let Some(ids) = self.by_address.get(&address) else {
            return self.broadcasts.contains(&address).then_some(origin::NOWHERE);
        };
        let mut interfaces = ids.iter().map(|id| self.backends[id].1);
        let first = interfaces.next()?;
        (first != 0 && interfaces.all(|other| other == first)).then_some(first)
    }

    /// Sets the host's addresses. Returns the changed ones, those to remove first.
    fn set_host<'a>(
        &mut self,
        own: impl Iterator<Item = &'a IpAddr>,
        broadcasts: &BTreeSet<Ipv4Addr>,
    ) -> Vec<Address> {
        const MOST: usize = OWN as usize;
        let own = own.filter_map(|address| match address {
            IpAddr::V4(v4) => Some(v4.octets()),
            IpAddr::V6(_) => None,
        });
        let own: HashSet<Address> = own.take(MOST).collect();
        let broadcasts = broadcasts.iter().map(Ipv4Addr::octets);
        let broadcasts: HashSet<Address> = broadcasts.take(MOST - own.len()).collect();
        let changed = [(&self.own, &own), (&self.broadcasts, &broadcasts)]
            .into_iter()
            .flat_map(|(before, now)| before.symmetric_difference(now).copied());
        let mut changed: Vec<Address> = changed.collect();
        (self.own, self.broadcasts) = (own, broadcasts);
        changed.sort_by_key(|address| self.of(*address).is_some());
        changed
    }

    /// Applies an operation. Returns the addresses that it changed.
    fn follow(&mut self, op: &Op) -> [Option<Address>; 2] {
        match op {
            Op::SetBackend { id, backend } => self.set_backend(*id, backend),
            Op::ClearBackend { id } => [self.forget_backend(*id), None],
            Op::SetService { key, .. } => {
                let address = unmapped(key.address);
                let is_new = self.vips.entry(address).or_default().insert(*key);
                [is_new.then_some(address), None]
            }
            Op::RemoveService { key } => {
                let address = unmapped(key.address);
                let services = self.vips.entry(address).or_default();
                services.remove(key);
                if services.is_empty() {
                    self.vips.remove(&address);
                }
                [Some(address), None]
            }
            Op::SetSource { .. }
            | Op::WriteSlots { .. }
            | Op::PassTraffic { .. }
            | Op::KeepTraffic { .. }
            | Op::ClearKept { .. } => [None; 2],
        }
    }

    fn set_backend(&mut self, id: u32, backend: &Backend) -> [Option<Address>; 2] {
        let now = (unmapped(backend.address), backend.hop.ifindex());
        if self.backends.get(&id) == Some(&now) {
            return [None; 2];
        }
        let former = self.forget_backend(id);
        self.backends.insert(id, now);
        self.by_address.entry(now.0).or_default().insert(id);
        [former, Some(now.0)]
    }

    fn forget_backend(&mut self, id: u32) -> Option<Address> {
        let (address, _) = self.backends.remove(&id)?;
        if let Some(ids) = self.by_address.get_mut(&address) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_address.remove(&address);
            }
        }
        Some(address)
    }

    fn all(&self) -> impl Iterator<Item = Address> {
        let own = self.own.iter().chain(&self.broadcasts);
        own.chain(self.vips.keys()).chain(self.by_address.keys()).copied()
    }
}

impl MapWriter {
    /// Writes the allowed origins of all addresses in the maps.
    pub(super) fn origins_of_image(&mut self, image: &Image) -> Result<()> {
        let mut origins = Origins::default();
        for key in image.services.keys() {
            origins.vips.entry(unmapped(key.address)).or_default().insert(*key);
        }
        for (id, backend) in &image.backends {
            origins.set_backend(*id, backend);
        }
        origins.own.clone_from(&self.origins.own);
        origins.broadcasts.clone_from(&self.origins.broadcasts);
        let known = self.maps.origins.entries().context("cannot read the origins")?;
        let known = known.into_iter().map(|(key, _)| u32::to_ne_bytes(key));
        let mut addresses: Vec<Address> = known.chain(origins.all()).collect();
        self.origins = origins;
        // Removes before it adds, to have room.
        addresses.sort_by_key(|address| self.origins.of(*address).is_some());
        addresses.into_iter().try_for_each(|address| self.write_origin(address))
    }

    /// Writes the allowed origins changed by an operation.
    pub(super) fn origins_op(&mut self, op: &Op) -> Result<()> {
        let changed = self.origins.follow(op);
        changed.into_iter().flatten().try_for_each(|address| self.write_origin(address))
    }

    /// Sets this host's own addresses and the broadcast addresses of its networks.
    pub fn set_host_addresses<'a>(
        &mut self,
        own: impl Iterator<Item = &'a IpAddr>,
        broadcasts: &BTreeSet<Ipv4Addr>,
    ) -> Result<()> {
        let changed = self.origins.set_host(own, broadcasts);
        changed.into_iter().try_for_each(|address| self.write_origin(address))
    }

    fn write_origin(&mut self, address: Address) -> Result<()> {
        let key = u32::from_ne_bytes(address);
        let told = || format!("cannot write the allowed origins of {}", Ipv4Addr::from(address));
        let Maps { origins, origin_bits, .. } = &mut self.maps;
        let Some(ifindex) = self.origins.of(address) else {
            return origins.remove(&key).with_context(told);
        };
        origins.insert(&key, &ifindex).with_context(told)?;
        let (word, bit) = address_filter::bit_of(address);
        let bits = origin_bits.get(word).with_context(told)?;
        origin_bits.set(word, &(bits | bit)).with_context(told)
    }

    /// Sets the destination MAC addresses of frames to this host. Returns those without room.
    pub fn set_own_macs(&mut self, own: &BTreeSet<[u8; 6]>) -> Result<Vec<[u8; 6]>> {
        let mut slots = vec![Slot::default(); macs::SLOTS as usize];
        let mut left_out = own.clone();
        left_out.retain(|mac| !slots[macs::slot_of(*mac) as usize].add(*mac));
        self.own_macs = slots;
        self.write_own_macs()?;
        Ok(left_out.into_iter().collect())
    }

    /// Writes the MAC addresses, if any were set.
    pub(super) fn write_own_macs(&mut self) -> Result<()> {
        let map = &mut self.maps.own_macs;
        for (place, slot) in (0..).zip(&self.own_macs) {
            if map.get(place).context("cannot read the MAC addresses")? != *slot {
                map.set(place, slot).context("cannot write the MAC addresses")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{backend::Hop, mapped, service::Service};

    use super::*;

    const ADDRESS: Address = [10, 0, 0, 11];

    fn backend(ifindex: u32) -> Backend {
        let hop = Hop::new([2; 6], [4; 6], ifindex);
        Backend { hop, address: mapped(ADDRESS), ..Backend::default() }
    }

    #[test]
    fn packets_of_a_backend_come_in_on_its_output_interface() {
        let mut origins = Origins::default();
        assert_eq!(origins.of(ADDRESS), None);
        let set = |id, ifindex| Op::SetBackend { id, backend: backend(ifindex) };
        assert_eq!(origins.follow(&set(1, 3)), [None, Some(ADDRESS)]);
        assert_eq!(origins.of(ADDRESS), Some(3));
        assert_eq!(origins.follow(&set(1, 3)), [None; 2]);
        origins.follow(&set(2, 4));
        assert_eq!(origins.of(ADDRESS), None, "on two interfaces");
        origins.follow(&Op::ClearBackend { id: 1 });
        assert_eq!(origins.of(ADDRESS), Some(4));
        origins.follow(&set(2, 0));
        assert_eq!(origins.of(ADDRESS), None, "nobody knows where it is");
        origins.follow(&Op::ClearBackend { id: 2 });
        assert_eq!(origins.all().count(), 0);
    }

    #[test]
    fn broadcast_addresses_are_no_sources_as_far_as_there_is_room() {
        let mut origins = Origins::default();
        let broadcast = Ipv4Addr::new(10, 0, 0, 255);
        let changed = origins.set_host([].iter(), &BTreeSet::from([broadcast]));
        assert_eq!(changed, [broadcast.octets()]);
        assert_eq!(origins.of(broadcast.octets()), Some(origin::NOWHERE));
        let of = |net: u8, count: u32| {
            (0..count).map(move |nth| Ipv4Addr::from(u32::from(net) << 24 | nth))
        };
        let own: Vec<IpAddr> = of(11, OWN - 5).map(IpAddr::from).collect();
        let changed = origins.set_host(own.iter(), &of(12, 9).collect());
        assert_eq!(changed[0], broadcast.octets(), "room is made before it is taken");
        assert_eq!(origins.of(broadcast.octets()), None);
        assert_eq!(origins.broadcasts.len(), 5);
        assert_eq!(origins.all().count(), OWN as usize);
    }

    #[test]
    fn own_addresses_and_vips_are_no_sources() {
        use bytemuck::Zeroable as _;

        let mut origins = Origins::default();
        origins.follow(&Op::SetBackend { id: 1, backend: backend(3) });
        let [one, other] = [80, 81].map(|port| ServiceKey::tcp(mapped(ADDRESS), [0, port]));
        for key in [one, other] {
            origins.follow(&Op::SetService { key, service: Service::zeroed() });
        }
        assert_eq!(origins.of(ADDRESS), Some(origin::NOWHERE));
        origins.follow(&Op::RemoveService { key: one });
        assert_eq!(origins.of(ADDRESS), Some(origin::NOWHERE));
        origins.follow(&Op::RemoveService { key: other });
        assert_eq!(origins.of(ADDRESS), Some(3));
        origins.own.insert(ADDRESS);
        assert_eq!(origins.of(ADDRESS), Some(origin::NOWHERE));
    }
}
