//! Destination MAC addresses of frames to this host.

use std::collections::BTreeSet;

use anyhow::Result;
use lb_dataplane::{Dataplane, MapWriter};
use lb_host::printable;
use lb_neighbours::Interface as Link;

use super::{daemon::Daemon, interfaces::Interface, sync::MapSync};

impl Daemon {
    /// Updates the program's MAC addresses from the interfaces.
    pub(super) async fn refresh_macs(&mut self) {
        let refreshed = match own_macs(&self.network.interfaces).await {
            Ok(own) => rewrite(self.kernel.dataplane.maps(), &own, &mut self.kernel.sync),
            Err(error) => Err(error),
        };
        let were_outdated =
            std::mem::replace(&mut self.network.are_macs_outdated, refreshed.is_err());
        if let Err(error) = refreshed
            && !were_outdated
        {
            log::error!(
                "cannot give the program this host's MAC addresses, which is retried: {error:#}"
            );
        }
    }

    /// Retries a failed update.
    pub(super) async fn retry_macs(&mut self) {
        if is_retry_due(self.network.are_macs_outdated, &self.kernel.sync) {
            self.refresh_macs().await;
        }
    }
}

/// Sets the program's MAC addresses to those of these interfaces.
pub async fn refresh(dataplane: &mut Dataplane, interfaces: &[Interface]) -> Result<()> {
    write(dataplane.maps(), &own_macs(interfaces).await?)
}

/// Returns true if a failed update can be retried: not before the maps were read back.
fn is_retry_due(are_outdated: bool, sync: &MapSync) -> bool {
    are_outdated && !sync.is_behind()
}

/// Writes the MAC addresses. After an error, the content of the maps is unknown.
fn rewrite(maps: &mut MapWriter, own: &BTreeSet<[u8; 6]>, sync: &mut MapSync) -> Result<()> {
    write(maps, own).inspect_err(|_| sync.distrust())
}

fn write(maps: &mut MapWriter, own: &BTreeSet<[u8; 6]>) -> Result<()> {
    for mac in maps.set_own_macs(own)? {
        let mac = printable::mac(mac);
        log::warn!(
            "frames to {mac} are passed to the host: too many MAC addresses of the interfaces \
             collide"
        );
    }
    Ok(())
}

/// Reads the MAC addresses of frames to these interfaces.
async fn own_macs(interfaces: &[Interface]) -> Result<BTreeSet<[u8; 6]>> {
    let links = lb_neighbours::links().await?;
    // Also by name: a recreated interface has another index, which is not known yet.
    let is_ours = |link: &&Link| {
        interfaces.iter().any(|one| one.ifindex == link.ifindex || one.name == link.name)
    };
    let ours = links.iter().filter(is_ours).map(|link| link.ifindex).collect();
    Ok(macs(&links, &ours))
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
    use lb_common::macs::slot_of;
    use lb_dataplane::{adoption::Adopted, maps::memory::Memory, plan::Goal};
    use lb_model::Limits;

    use super::*;

    #[test]
    fn addresses_that_could_not_be_written_are_written_once_the_maps_were_read_back() {
        let memory = Memory::default();
        let mut maps = MapWriter::new(memory.maps(4));
        let mut sync = MapSync::new(&Adopted::default(), Limits::default());
        let [former, now] = [1, 2].map(|last| [2, 0, 0, 0, 0, last]);
        rewrite(&mut maps, &BTreeSet::from([former]), &mut sync).expect("written");
        assert!(!is_retry_due(false, &sync), "nothing has failed");
        memory.fail(&[0..1, 1..usize::MAX]);
        let own = BTreeSet::from([now]);
        rewrite(&mut maps, &own, &mut sync).expect_err("no map can be written");
        let goal = Goal::default();
        sync.follow(&mut maps, &goal, &goal);
        assert!(!is_retry_due(true, &sync), "the maps cannot be read back yet");
        memory.fail(&[]);
        sync.follow(&mut maps, &goal, &goal);
        assert!(is_retry_due(true, &sync));
        rewrite(&mut maps, &own, &mut sync).expect("written");
        let written: Vec<u32> = memory.stored().own_macs.keys().copied().collect();
        assert_eq!(written, [slot_of(now)]);
        assert!(!sync.is_behind());
    }

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
