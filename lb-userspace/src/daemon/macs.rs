//! Destination MAC addresses of frames to this host.

use std::collections::BTreeSet;

use super::{Daemon, interfaces::Interface};
use crate::{
    dataplane::Dataplane,
    neighbours::{self, Interface as Link},
};

impl Daemon {
    /// Updates the program's MAC addresses from the interfaces.
    pub(super) async fn refresh_macs(&mut self) {
        let refreshed = refresh(&mut self.dataplane, &self.interfaces).await;
        self.are_macs_outdated = refreshed.is_err();
        if let Err(error) = refreshed {
            log::error!("cannot give the program this host's MAC addresses: {error:#}");
            self.sync.distrust();
        }
    }

    /// Tries again what failed. After the maps were restored, which brings the former addresses back.
    pub(super) async fn retry_macs(&mut self) {
        if self.are_macs_outdated && !self.sync.is_behind() {
            self.refresh_macs().await;
        }
    }
}

/// Sets the program's MAC addresses to those of these interfaces.
pub async fn refresh(dataplane: &mut Dataplane, interfaces: &[Interface]) -> anyhow::Result<()> {
    let links = neighbours::links().await?;
    // Also by name: a recreated interface has another index, which is not known yet.
    let is_ours = |link: &&Link| {
        interfaces.iter().any(|one| one.ifindex == link.ifindex || one.name == link.name)
    };
    let ours = links.iter().filter(is_ours).map(|link| link.ifindex).collect();
    for mac in dataplane.maps().set_own_macs(&macs(&links, &ours))? {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        log::warn!(
            "frames to {mac} are passed to the host: too many MAC addresses of the interfaces \
             collide"
        );
    }
    Ok(())
}

/// Returns the MAC addresses of our interfaces, of the bridges and bonds that they are ports of,
/// and of upper interfaces of both, such as macvlan interfaces with VRRP's virtual MAC addresses.
fn macs(links: &[Link], ours: &BTreeSet<u32>) -> BTreeSet<[u8; 6]> {
    let is_ours = |link: &&Link| ours.contains(&link.ifindex);
    let controllers = links.iter().filter(is_ours).filter_map(|link| link.controller);
    let below: BTreeSet<u32> = ours.iter().copied().chain(controllers).collect();
    let is_in = |ifindex: Option<u32>| ifindex.is_some_and(|ifindex| below.contains(&ifindex));
    let links = links.iter().filter(|link| is_in(Some(link.ifindex)) || is_in(link.parent));
    links.filter_map(|link| link.mac).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifindex: u32, parent: Option<u32>, controller: Option<u32>) -> Link {
        Link {
            ifindex,
            name: format!("eth{ifindex}"),
            mac: Some([2, 0, 0, 0, 0, ifindex.to_le_bytes()[0]]),
            mtu: 1_500,
            up: true,
            parent,
            controller,
        }
    }

    #[test]
    fn addresses_of_upper_interfaces_belong_to_an_interface() {
        let links = [
            link(1, None, None),
            link(2, None, Some(5)),
            // Macvlan of a virtual router.
            link(3, Some(2), None),
            link(4, Some(1), None),
            link(5, None, None),
            link(6, Some(5), None),
        ];
        let found = macs(&links, &[2].into());
        let last: Vec<_> = found.iter().map(|mac| mac[5]).collect();
        assert_eq!(last, [2, 3, 5, 6]);
    }
}
