//! Where a packet comes in, and with which addresses of its frame.

use std::net::SocketAddrV4;

use lb_common::{
    flow::{Direction, FlowKey, State},
    table::{Entry as _, peek},
};
use lb_model::{
    Refusal,
    views::explanation::{PacketQuery, PacketView, TcpFlags},
};
use lb_neighbours::Interface as Link;

use crate::{frame::Headers, interfaces::Interface, refusals::failed, snapshot::Snapshot};

/// MAC address of a sender that nothing is known of: a locally administered one.
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// What the kernel knows of the network.
#[derive(Debug)]
pub struct Links {
    all: Vec<Link>,
    /// The interface to the packet's sender.
    to_sender: Option<u32>,
}

impl Links {
    pub(crate) async fn read(query: &PacketQuery) -> Result<Self, Refusal> {
        let all = lb_neighbours::links().await.map_err(failed)?;
        let sender = (*query.from.ip()).into();
        let to_sender = lb_neighbours::interface_to(sender).await.map_err(failed)?;
        Ok(Self { all, to_sender })
    }

    fn mac(&self, ifindex: u32) -> Option<[u8; 6]> {
        self.all.iter().find(|link| link.ifindex == ifindex)?.mac
    }
}

/// A packet as it comes in.
pub(super) struct Arriving {
    pub(super) ifindex: u32,
    interface: String,
    headers: Headers,
}

impl Arriving {
    pub(super) fn of(
        snapshot: &Snapshot,
        query: &PacketQuery,
        links: &Links,
    ) -> Result<Self, Refusal> {
        let known = known(snapshot, query.from, query.to);
        let ifindex = ingress(snapshot, query, links, known.as_ref())?;
        let hop = known.as_ref().and_then(|known| known.hop).filter(|hop| hop.0 == ifindex);
        let own_mac = links.mac(ifindex).unwrap_or_default();
        let (_, src_mac, dst_mac) = hop.unwrap_or((ifindex, SENDER, own_mac));
        let is_open = known.as_ref().is_some_and(|known| !known.is_closed);
        let usual = if is_open { TcpFlags::ACK } else { TcpFlags::SYN };
        let headers = Headers {
            src_mac,
            dst_mac,
            from: query.from,
            to: query.to,
            flags: query.flags.unwrap_or(usual),
        };
        Ok(Self { ifindex, interface: snapshot.interface_name(ifindex), headers })
    }

    /// Returns true if a frame goes to the sender, and the sender's MAC address is an invented one.
    pub(super) fn is_sender_unknown(&self, sent: &Headers) -> bool {
        self.headers.src_mac == SENDER && sent.dst_mac == SENDER
    }

    pub(super) fn frame(&self) -> anyhow::Result<Vec<u8>> {
        self.headers.frame()
    }
}

impl From<Arriving> for PacketView {
    fn from(Arriving { interface, headers, .. }: Arriving) -> Self {
        let Headers { from, to, flags, .. } = headers;
        Self { from: from.into(), to: to.into(), flags, interface }
    }
}

/// A known connection, and where its client is: interface, MAC addresses of the client's side and ours.
struct Known {
    is_closed: bool,
    hop: Option<(u32, [u8; 6], [u8; 6])>,
}

fn known(snapshot: &Snapshot, from: SocketAddrV4, to: SocketAddrV4) -> Option<Known> {
    let [source, destination] = [from, to].map(|end| (end.ip().octets(), end.port().to_be_bytes()));
    let key = FlowKey::tcp(source.0, source.1, destination.0, destination.1);
    let hit = peek(snapshot.table.table(), &key)?;
    let is_of_client = hit.direction() == Direction::ToBackend;
    let hop = is_of_client.then(|| snapshot.table.client_hops().hop(hit.entry.pair().hop()));
    let hop = hop.map(|hop| {
        let both = hop.macs();
        let (macs, _) = both.as_chunks();
        (hop.ifindex(), macs[0], macs[1])
    });
    Some(Known { is_closed: hit.state() == State::Closed, hop })
}

fn ingress(
    snapshot: &Snapshot,
    query: &PacketQuery,
    links: &Links,
    known: Option<&Known>,
) -> Result<u32, Refusal> {
    let ours = &snapshot.interfaces;
    let names = || {
        let out = |one: &Interface| one.outage().map_or("", |_| " (down)");
        let names = ours.iter().map(|one| format!("{}{}", one.name, out(one)));
        names.collect::<Vec<_>>().join(", ")
    };
    if let Some(name) = &query.interface {
        let found = ours.iter().find(|one| one.name == *name);
        return found.map(|one| one.ifindex).ok_or_else(|| {
            Refusal::Invalid(format!("{name} is not one of the balancer's interfaces: {}", names()))
        });
    }
    let of_client = known.and_then(|known| known.hop).map(|hop| hop.0);
    if let Some(ifindex) =
        of_client.filter(|ifindex| ours.iter().any(|one| one.ifindex == *ifindex))
    {
        return Ok(ifindex);
    }
    if let [only] = ours.as_slice() {
        return Ok(only.ifindex);
    }
    let usual = ours.iter().find(|one| Some(one.ifindex) == links.to_sender);
    usual.map(|one| one.ifindex).ok_or_else(|| {
        Refusal::Invalid(format!(
            "the route to {} leaves by none of the balancer's interfaces: give the one that the packet comes \
             in by with `interface`: {}",
            query.from.ip(),
            names()
        ))
    })
}
