//! The configured interfaces.

use std::{collections::BTreeSet, fs, io::ErrorKind, path::Path};

use lb_host::{
    netlink,
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

    pub(crate) fn is_veth(&self) -> bool {
        self.peer.is_some()
    }
}

/// Reads an interface, or None if there is none of that name.
pub(super) async fn read(netlink: &Handle, name: &str, bpffs: &Path) -> Seen<Option<Link>> {
    let found = netlink::link(netlink, name).await;
    let Some(message) = found.map_err(|error| format!("cannot read {name}: {error}"))? else {
        return Ok(None);
    };
    let interface = lb_neighbours::interface(name).await.map_err(|error| format!("{error:#}"))?;
    let Some(interface) = interface else { return Ok(None) };
    let mut handle = ethtool::connect().map_err(|error| error.to_string())?;
    let of = |read: fn(&str) -> Seen<u8>| {
        let name = name.to_owned();
        bounded(move || read(&name))
    };
    let (named, carded) = (name.to_owned(), name.to_owned());
    let (driver, spread, rp_filter, arp_ignore) = tokio::join!(
        bounded(move || ioctl::driver(&named)),
        bounded(move || spread::read(&carded)),
        of(|name| setting(name, "rp_filter")),
        of(|name| setting(name, "arp_ignore")),
    );
    let flags = message.header.flags;
    Ok(Some(Link {
        is_loopback: flags.contains(LinkFlags::Loopback),
        is_enabled: flags.contains(LinkFlags::Up),
        does_arp: !flags.contains(LinkFlags::Noarp),
        driver: known(driver),
        attached: attached(&interface, bpffs).await,
        is_native: in_time(netdev::is_native(interface.ifindex)).await.flatten(),
        features: in_time(ethtool::features(&mut handle, name)).await.flatten(),
        channels: in_time(ethtool::channels(&mut handle, name)).await.flatten(),
        rings: in_time(ethtool::rings(&mut handle, name)).await.flatten(),
        peer: match veth(&message) {
            Some(other) => Some(peers::find(netlink, other).await),
            None => None,
        },
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
    let attached = lb_neighbours::xdp_attached(ifindex).await;
    let Some(attached) = attached.map_err(|error| format!("{error:#}"))? else {
        return Ok(Attached::Nothing);
    };
    let (bpffs, name) = (bpffs.to_owned(), interface.name.clone());
    bounded(move || {
        match fs::read_dir(&bpffs) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err("only root sees whose program is attached".to_owned());
            }
            _ if lb_dataplane::is_attached(&bpffs, ifindex) => {
                return Ok(Attached::Ours(attached.mode));
            }
            _ => {}
        }
        Ok(foreign(attached, ifindex, &name))
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

/// Returns the other end of a veth pair.
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
