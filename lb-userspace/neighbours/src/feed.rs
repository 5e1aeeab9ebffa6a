//! Network change events from the kernel.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream::ReadyChunks};
use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use rtnetlink::{
    MulticastGroup,
    packet_core::NetlinkPayload,
    packet_route::RouteNetlinkMessage,
    proto::{NetlinkCodec, NetlinkFramed},
    sys::{AsyncSocket as _, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};

/// Receive buffer in bytes: room for some thousands of messages.
const BUFFER: usize = 1 << 20;
const LARGEST_BUFFER: usize = 1 << 26;

/// Maximum number of messages per batch.
const BATCH: usize = 1024;

const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];

type Messages = NetlinkFramed<RouteNetlinkMessage, TokioSocket, NetlinkCodec>;

/// A socket for events only, as a burst of them could displace the answer to a request. Unread
/// messages wait in the kernel's buffer only, so memory is bounded.
pub(super) struct Feed {
    batches: ReadyChunks<Messages>,
    /// Size of its receive buffer, in bytes.
    buffer: usize,
}

impl Feed {
    /// Subscribes to all changes in the calling thread's network namespace.
    pub(super) fn open() -> Result<Self> {
        Self::with_buffer(BUFFER)
    }

    /// Subscribes again after a loss, with a larger buffer.
    pub(super) fn reopen(&self) -> Result<Self> {
        Self::with_buffer((self.buffer * 2).min(LARGEST_BUFFER))
    }

    fn with_buffer(buffer: usize) -> Result<Self> {
        let mut socket =
            TokioSocket::new(NETLINK_ROUTE).context("cannot open a netlink socket for events")?;
        setsockopt(socket.socket_mut(), RcvBufForce, &buffer)
            .context("cannot enlarge a netlink buffer: CAP_NET_ADMIN is needed")?;
        let groups = GROUPS.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, groups))
            .context("cannot follow the kernel's network")?;
        Ok(Self { batches: Messages::new(socket).ready_chunks(BATCH), buffer })
    }

    /// Returns the next changes.
    ///
    /// # Errors
    ///
    /// Returns an error if changes were lost and the known state may be out of date.
    pub(super) async fn next(&mut self) -> Result<Vec<RouteNetlinkMessage>> {
        let Some(batch) = self.batches.next().await else {
            bail!("the kernel's network events have ended");
        };
        let mut changes = Vec::with_capacity(batch.len());
        for (message, _) in batch {
            match message.payload {
                NetlinkPayload::InnerMessage(change) => changes.push(change),
                NetlinkPayload::Overrun(_) => {
                    bail!("more network events than a buffer of {} bytes holds", self.buffer)
                }
                _ => {}
            }
        }
        Ok(changes)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}
