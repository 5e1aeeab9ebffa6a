//! The other ends of veth pairs, which may be in other network namespaces.

use std::{
    fs::{self, File},
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    pin::pin,
};

use futures_util::StreamExt as _;
use lb_neighbours::AttachMode;
use nix::sched::{CloneFlags, setns};
use rtnetlink::{
    Handle,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        nsid::{NsidAttribute, NsidMessage},
    },
};
use tokio::runtime;

use super::{Seen, bounded, ethtool};

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";

/// Place of the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other {
    pub(super) ifindex: u32,
    /// Id of its namespace, if that is not ours.
    pub(super) namespace: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Seen {
        name: String,
        /// Name of its namespace, if that is not ours.
        namespace: Option<String>,
        has_native_program: bool,
        /// True if it leaves checksums to hardware.
        leaves_checksums: bool,
    },
    /// The reason why it cannot be seen.
    Hidden(String),
}

pub(super) async fn find(netlink: &Handle, other: Other) -> Peer {
    seen(netlink, other).await.unwrap_or_else(Peer::Hidden)
}

async fn seen(netlink: &Handle, other: Other) -> Seen<Peer> {
    let Some(id) = other.namespace else { return look(other.ifindex, None).await };
    let path = namespace(netlink, id).await?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    bounded(move || {
        let cannot = |error| format!("cannot enter {}: {error}", path.display());
        let namespace = File::open(&path).map_err(cannot)?;
        // Of this thread only.
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|error| cannot(error.into()))?;
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        runtime.block_on(look(other.ifindex, name))
    })
    .await
    .flatten()
}

/// Looks at an interface of the calling thread's namespace.
async fn look(ifindex: u32, namespace: Option<String>) -> Seen<Peer> {
    let shown = |error| format!("{error:#}");
    let links = lb_neighbours::links().await.map_err(shown)?;
    let link = links.into_iter().find(|link| link.ifindex == ifindex).ok_or("it is gone")?;
    let attached = lb_neighbours::xdp_attached(ifindex).await.map_err(shown)?;
    let mut handle = ethtool::connect().map_err(|error| error.to_string())?;
    let features = ethtool::features(&mut handle, &link.name).await?;
    Ok(Peer::Seen {
        name: link.name,
        namespace,
        has_native_program: attached.is_some_and(|one| one.mode == AttachMode::Native),
        leaves_checksums: features.contains("tx-checksum-ip-generic"),
    })
}

/// Returns the file of the namespace with this id.
async fn namespace(netlink: &Handle, id: i32) -> Seen<PathBuf> {
    let files = bounded(|| {
        let entries = fs::read_dir(NAMESPACES).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter_map(|path| Some((File::open(&path).ok()?, path))).collect::<Vec<_>>()
    });
    for (file, path) in files.await? {
        if id_of(netlink, &file).await == Some(id) {
            return Ok(path);
        }
    }
    Err(format!("it is in a network namespace without a file in {NAMESPACES}, or needs root"))
}

/// Returns the id of a namespace.
async fn id_of(netlink: &Handle, file: &File) -> Option<i32> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(file.as_raw_fd().cast_unsigned()));
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetNsId(question));
    message.header.flags = NLM_F_REQUEST;
    let mut answer = pin!(netlink.clone().request(message).ok()?);
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNsId(answer)) =
        answer.next().await?.payload
    else {
        return None;
    };
    answer.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Some(*id),
        _ => None,
    })
}
