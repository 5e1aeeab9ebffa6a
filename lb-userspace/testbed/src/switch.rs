//! The switch of a testbed: a namespace whose bridges are the LANs.

use std::{os::fd::AsRawFd as _, time::Duration};

use anyhow::{Context as _, Result, bail};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, State},
};
use tokio::time;

use super::namespace::Namespace;
use lb_host::{netlink, sys::ethtool};

const CARRIER_INTERVAL: Duration = Duration::from_millis(5);
const CARRIER_ATTEMPTS: usize = 1000;

/// A veth pair from a LAN to a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cable<'a> {
    /// The bridge.
    pub(super) lan: &'a str,
    /// Name of the end at the bridge.
    pub(super) port: &'a str,
    pub(super) host: &'a Namespace,
    /// Name of the end in the host.
    pub(super) interface: &'a str,
}

#[derive(Debug)]
pub(super) struct Switch {
    namespace: Namespace,
}

impl Switch {
    pub(super) fn create(name: &str) -> Result<Self> {
        let namespace = Namespace::create(name)?;
        Ok(Self { namespace })
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn add_lan(&self, name: &str) -> Result<()> {
        self.namespace.configure(async |netlink| {
            let bridge = LinkBridge::new(name).build();
            Ok(netlink.link().add(bridge).execute().await?)
        })
    }

    pub(super) fn plug(&self, cable: Cable<'_>) -> Result<()> {
        self.namespace
            .configure(async |netlink| add_veth(&netlink, cable).await)
            .and_then(|()| cable.host.set_up(cable.interface))
            .and_then(|()| self.await_carrier(cable.port))
            .with_context(|| format!("cannot plug {} into {}", cable.host.name(), cable.lan))
    }

    /// Waits until the port forwards. The bridge drops frames from it until the kernel's link
    /// watcher has run, which would lose the first ARP request.
    fn await_carrier(&self, port: &str) -> Result<()> {
        self.namespace.configure(async |netlink| {
            let up = LinkAttribute::OperState(State::Up);
            for _ in 0..CARRIER_ATTEMPTS {
                let link = netlink::link(&netlink, port).await?;
                if link.is_some_and(|link| link.attributes.contains(&up)) {
                    return Ok(());
                }
                time::sleep(CARRIER_INTERVAL).await;
            }
            bail!("{port} has no carrier")
        })
    }

    /// Prepares a port for a host that sends by XDP: veth drops such frames unless the receiving
    /// end has an XDP program too, and XDP does not complete partial checksums, so frames to this
    /// host must have full ones.
    pub(super) fn serve_xdp(&self, port: &str) -> Result<()> {
        self.namespace
            .run(|| ethtool::disable_tx_checksum(port))?
            .with_context(|| format!("cannot switch transmit checksumming of {port} off"))?;
        self.namespace.attach_pass(port)
    }
}

async fn add_veth(netlink: &Handle, cable: Cable<'_>) -> Result<()> {
    let bridge = netlink::link(netlink, cable.lan)
        .await?
        .with_context(|| format!("there is no bridge {}", cable.lan))?;
    let host = cable.host.open()?;
    let peer = LinkUnspec::new_with_name(cable.interface).setns_by_fd(host.as_raw_fd()).build();
    let port = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(cable.port)
        .controller(bridge.header.index)
        .up()
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    Ok(netlink.link().add(port).execute().await?)
}
