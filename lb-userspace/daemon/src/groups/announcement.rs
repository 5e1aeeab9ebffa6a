//! Announcements of a group's addresses, so that hosts and switches learn where they are now.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use lb_host::arp::{Arp, request};
use tokio::{task::JoinHandle, time::sleep};

/// Pauses before the announcements, as each may be lost.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];

/// Announcements that are made in the background. Those of a group end with it.
#[derive(Debug, Default)]
pub(super) struct Announcement {
    addresses: BTreeSet<(u32, Ipv4Addr)>,
    running: Option<JoinHandle<()>>,
}

impl Announcement {
    /// Announces addresses with the indexes of their interfaces, unless they are announced already.
    pub(super) fn of(&mut self, addresses: BTreeSet<(u32, Ipv4Addr)>) {
        if self.addresses == addresses {
            return;
        }
        if let Some(running) = self.running.take() {
            running.abort();
        }
        self.addresses.clone_from(&addresses);
        if !addresses.is_empty() {
            self.running = Some(tokio::spawn(repeat(addresses)));
        }
    }
}

async fn repeat(addresses: BTreeSet<(u32, Ipv4Addr)>) {
    for pause in PAUSES {
        sleep(pause).await;
        if let Err(error) = announce(&addresses).await {
            log::warn!(reason:% = format!("{error:#}"); "cannot announce the addresses of a group");
        }
    }
}

async fn announce(addresses: &BTreeSet<(u32, Ipv4Addr)>) -> Result<()> {
    let links = lb_neighbours::links().await?;
    for link in links {
        let Some(mac) = link.mac else { continue };
        let mut own = addresses.iter().filter(|(ifindex, _)| *ifindex == link.ifindex).peekable();
        if own.peek().is_none() {
            continue;
        }
        let arp = Arp::open(link.ifindex);
        let arp = arp.with_context(|| format!("cannot send ARP on {}", link.name))?;
        for (_, address) in own {
            let sent = arp.send(&request(mac, *address, *address));
            sent.with_context(|| format!("cannot announce {address} on {}", link.name))?;
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
