//! Announcements of a group's addresses, so that hosts and switches learn where they are now.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use lb_host::arp::{Arp, request};
use tokio::{task::JoinHandle, time::sleep};

/// Pauses before the announcements, as each may be lost.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// Announcements of a group's addresses that are made in the background.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    addresses: BTreeSet<(u32, Ipv4Addr)>,
    running: Option<JoinHandle<()>>,
}

impl Announcement {
    /// Announces addresses with the indexes of their interfaces, unless they are announced already. Each time only
    /// while `is_active` holds: the daemon may have been frozen, and another node may have them by now.
    pub(super) fn set(
        &mut self,
        addresses: BTreeSet<(u32, Ipv4Addr)>,
        is_active: impl Fn() -> bool + Send + 'static,
    ) {
        if self.addresses == addresses {
            return;
        }
        if let Some(running) = self.running.take() {
            running.abort();
        }
        self.addresses.clone_from(&addresses);
        if !addresses.is_empty() {
            self.running = Some(tokio::spawn(repeat(addresses, is_active)));
        }
    }
}

async fn repeat(addresses: BTreeSet<(u32, Ipv4Addr)>, is_active: impl Fn() -> bool) {
    for pause in PAUSES {
        sleep(pause).await;
        let links = match lb_neighbours::links().await {
            Ok(links) => links,
            Err(error) => {
                log::warn!(reason:% = format!("{error:#}"); "cannot announce the addresses of a group");
                continue;
            }
        };
        for link in links {
            let own = addresses.iter().filter(|(ifindex, _)| *ifindex == link.ifindex);
            let own: Vec<_> = own.map(|(_, address)| *address).collect();
            if let (Some(mac), false) = (link.mac, own.is_empty())
                && let Err(error) = announce(link.ifindex, mac, &own, &is_active)
            {
                log::warn!(
                    interface = link.name, reason:% = error;
                    "cannot announce the addresses of a group"
                );
            }
        }
    }
}

fn announce(
    ifindex: u32,
    mac: [u8; 6],
    addresses: &[Ipv4Addr],
    is_active: &impl Fn() -> bool,
) -> io::Result<()> {
    let arp = Arp::open(ifindex)?;
    for address in addresses {
        if is_active() {
            arp.send(&request(mac, *address, *address))?;
        }
    }
    Ok(())
}

/// Returns the address if ARP knows it.
pub(super) fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
