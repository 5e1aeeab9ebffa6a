//! The configured interfaces.

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use lb_host::{
    netlink, printable,
    sys::{bpf, ethtool as ioctl},
};
use lb_neighbours::{AttachMode, Interface, XdpAttached};
use rtnetlink::{
    Handle,
    packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};

use super::{
    Channels, Peer, Rings, Seen, Spread, bounded,
    bounded::{in_time, known},
    ethtool, netdev,
    peers::{self, Other},
    spread, sysctl,
};

/// An interface that exists.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) interface: Interface,
    pub(crate) is_loopback: bool,
    /// True if it is administratively up.
    pub(crate) is_enabled: bool,
    pub(crate) does_arp: bool,
    pub(crate) driver: Seen<String>,
    pub(crate) attached: Seen<Attached>,
    /// True if its driver runs XDP programs.
    pub(crate) is_native: Seen<bool>,
    /// Names of the features that are on, as of `ethtool -k`.
    pub(crate) features: Seen<BTreeSet<String>>,
    /// None if the driver has no such numbers.
    pub(crate) channels: Seen<Option<Channels>>,
    pub(crate) rings: Seen<Option<Rings>>,
    pub(crate) spread: Seen<Spread>,
    /// The other end of a veth pair.
    pub(crate) peer: Option<Peer>,
    /// Settings that hold: the higher one of the interface and of all.
    pub(crate) rp_filter: Seen<u8>,
    pub(crate) arp_ignore: Seen<u8>,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    Nothing,
    Ours(AttachMode),
    Foreign {
        program: String,
        /// Command that detaches it.
        command: String,
    },
}

impl Link {
    pub(crate) fn name(&self) -> &str {
        &self.interface.name
    }

    /// Its name for a shell.
    pub(crate) fn word(&self) -> Cow<'_, str> {
        printable::word(self.name())
    }

    pub(crate) fn is_veth(&self) -> bool {
        self.peer.is_some()
    }
}

/// Reads an interface, or None if there is none of that name.
pub(super) async fn read(netlink: &Handle, name: &str, bpffs: &Path) -> Seen<Option<Link>> {
    let found = in_time(netlink::link(netlink, name)).await;
    let Some(message) = known(found)? else { return Ok(None) };
    let Some(interface) = known(in_time(lb_neighbours::interface(name)).await)? else {
        return Ok(None);
    };
    let mut handle = ethtool::connect().map_err(|error| error.to_string())?;
    let of = |read: fn(&str) -> Seen<u8>| {
        let name = name.to_owned();
        bounded(move || read(&name))
    };
    let (named, carded) = (name.to_owned(), name.to_owned());
    let (driver, spread, rp_filter, arp_ignore, attached, peer) = tokio::join!(
        bounded(move || ioctl::driver(&named)),
        bounded(move || spread::read(&carded)),
        of(|name| setting(name, "rp_filter")),
        of(|name| setting(name, "arp_ignore")),
        attached(&interface, bpffs),
        peer(netlink, &message),
    );
    let flags = message.header.flags;
    Ok(Some(Link {
        is_loopback: flags.contains(LinkFlags::Loopback),
        is_enabled: flags.contains(LinkFlags::Up),
        does_arp: !flags.contains(LinkFlags::Noarp),
        driver: known(driver),
        attached,
        is_native: in_time(netdev::is_native(interface.ifindex)).await.flatten(),
        features: in_time(ethtool::features(&mut handle, name)).await.flatten(),
        channels: in_time(ethtool::channels(&mut handle, name)).await.flatten(),
        rings: in_time(ethtool::rings(&mut handle, name)).await.flatten(),
        peer,
        spread: spread.flatten(),
        rp_filter: rp_filter.flatten(),
        arp_ignore: arp_ignore.flatten(),
        interface,
    }))
}

fn setting(interface: &str, key: &str) -> Seen<u8> {
    let of = |name: &str| sysctl::number::<u8>(&format!("net/ipv4/conf/{name}/{key}"));
    Ok(of("all")?.max(of(interface)?))
}

async fn attached(interface: &Interface, bpffs: &Path) -> Seen<Attached> {
    let ifindex = interface.ifindex;
    let Some(attached) = known(in_time(lb_neighbours::xdp_attached(ifindex)).await)? else {
        return Ok(Attached::Nothing);
    };
    let (bpffs, name) = (bpffs.to_owned(), interface.name.clone());
    bounded(move || match lb_dataplane::is_attached(&bpffs, ifindex) {
        Ok(true) => Ok(Attached::Ours(attached.mode)),
        Ok(false) => Ok(foreign(attached, ifindex, &name)),
        Err(error) => Err(format!("whose program is attached cannot be seen: {error}")),
    })
    .await
    .flatten()
}

fn foreign(attached: XdpAttached, ifindex: u32, interface: &str) -> Attached {
    let id = attached.program_id;
    let program = match lb_dataplane::program_name(id) {
        Some(name) => format!("{name}, id {id}"),
        None => format!("id {id}"),
    };
    let links = bpf::xdp_links().unwrap_or_default();
    let command = match attached.link(ifindex, &links) {
        Some(link) => format!("bpftool link detach id {link}"),
        None => attached.detach_command(interface),
    };
    Attached::Foreign { program, command }
}

async fn peer(netlink: &Handle, message: &LinkMessage) -> Option<Peer> {
    let found = in_time(peers::find(netlink, veth(message)?)).await;
    Some(found.unwrap_or_else(Peer::Hidden))
}

/// Returns the place of the other end of a veth pair.
fn veth(message: &LinkMessage) -> Option<Other> {
    let is_veth = |info: &LinkInfo| matches!(info, LinkInfo::Kind(InfoKind::Veth));
    let (mut is_pair, mut ifindex, mut namespace) = (false, None, None);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::LinkInfo(infos) => is_pair = infos.iter().any(is_veth),
            LinkAttribute::Link(index) => ifindex = Some(*index),
            LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
            _ => {}
        }
    }
    is_pair.then_some(Other { ifindex: ifindex?, namespace })
}
