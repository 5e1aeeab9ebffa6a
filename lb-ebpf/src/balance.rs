//! A packet's path through the balancer.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    backend::{Backend, Hop},
    flow::{Direction, FlowKey, marks},
    reason::Reason,
    stats::Incident,
    table::Line as _,
    tcp::{self, Segment},
    wire::Headers,
};

use crate::{
    again::{self, Asked, History},
    answers, arrival,
    egress::Egress,
    events, flow,
    flow::{Entry, New},
    forgotten,
    outcome::Outcome,
    parse, passive,
    raw::Packet,
    rewrite::{nat, reset},
    select, stats, trace, unforwardable, vip_filter,
};

#[inline(always)]
pub(crate) fn decide(packet: &mut Packet) -> Result<Outcome, Reason> {
    match forward(packet) {
        Err(reason @ (Reason::ResetNoBackend | Reason::ResetUnknownFlow)) => {
            reset::answer(packet)?;
            Ok(Outcome::from(reason))
        }
        Err(reason @ (Reason::IpOptions | Reason::Fragment)) => {
            Err(unforwardable::named(packet, reason))
        }
        decided => decided,
    }
}

#[inline(always)]
fn forward(packet: &mut Packet) -> Result<Outcome, Reason> {
    let (context, ingress) = (packet.context(), packet.ingress());
    let headers = parse::headers(packet)?;
    if !vip_filter::may_be_ours(headers.ip.dst) {
        return Err(Reason::NotOurs);
    }
    let key = FlowKey::of(headers);
    let asked = match flow::lookup(&key)? {
        Some(entry) if tcp::opens(headers.tcp.flags) => {
            arrival::of_client(headers, ingress)?;
            check_ttl(headers)?;
            again::ask(entry)?
        }
        Some(entry) => Asked::Known(entry),
        None => Asked::New(History::default()),
    };
    match asked {
        Asked::Known(entry) => known(headers, entry, ingress),
        Asked::New(history) => admit(&context, headers, &key, ingress, history),
    }
}

/// Handles a packet of a known connection, in either direction.
#[inline(always)]
fn known(headers: &mut Headers, entry: Entry, ingress: u32) -> Result<Outcome, Reason> {
    check_ttl(headers)?;
    let id = entry.line.backend();
    let backend = select::backend(id).ok_or(Reason::Unreachable)?;
    match entry.direction() {
        Direction::ToBackend => {
            let client = client_hop(headers, ingress);
            let is_usual = is_usual(headers, entry, Direction::ToBackend);
            let mut entry = entry;
            if !is_usual || entry.line.client() != client {
                entry = unusual_of_client(headers, entry, client, is_usual)?;
            }
            to_backend(headers, entry, ingress, (id, &backend.hop))
        }
        Direction::ToClient => {
            if entry.tag.marks() & marks::QUARANTINED != 0 {
                return Err(Reason::Quarantined);
            }
            if !backend.hop.receives(headers.ethernet.dst, ingress) {
                arrival::of_backend(headers, ingress, &backend.hop)?;
            }
            if backend.left != 0 {
                passive::heard(id, backend);
            }
            if is_usual(headers, entry, Direction::ToClient) {
                flow::acknowledge(entry, u32::from_be_bytes(headers.tcp.acknowledgement));
            } else {
                answers::follow(headers, entry, id)?;
            }
            to_client(headers, entry, ingress, id)
        }
    }
}

/// Returns true if a packet in this direction changes nothing but numbers, as most do not.
#[inline(always)]
fn is_usual(headers: &Headers, entry: Entry, direction: Direction) -> bool {
    tcp::is_usual(headers.tcp.flags) && marks::are_settled(entry.tag.marks(), direction)
}

/// Handles a client's packet that changes the state, or comes from another hop than replies go to.
#[inline(always)]
fn unusual_of_client(
    headers: &Headers,
    entry: Entry,
    client: Hop,
    is_usual: bool,
) -> Result<Entry, Reason> {
    let has_moved = entry.line.client() != client;
    if has_moved {
        arrival::at_our_mac(headers)?;
    }
    let before = entry.tag.marks();
    let after = if is_usual { before } else { track(headers, entry)? };
    // The sender of this ACK has received the backend's SYN, so it is where the client is.
    let is_proof = marks::are_shaken(after) && !marks::are_shaken(before);
    if !has_moved {
        return Ok(entry);
    }
    if is_proof {
        let tag = entry.tag.with_marks(after);
        return Ok(flow::relearn(Entry { tag, ..entry }, client));
    }
    stats::incident(Incident::ClientMoved);
    events::client_moved(entry, headers.ip.src, client);
    Ok(entry)
}

/// Updates a connection by a segment. Returns its marks afterwards.
#[inline(always)]
fn track(headers: &Headers, entry: Entry) -> Result<u16, Reason> {
    if !tcp::is_possible(headers.tcp.flags) {
        return Err(Reason::BadFlags);
    }
    Ok(flow::track(entry, &Segment::of(headers)))
}

#[inline(always)]
fn to_backend(
    headers: &mut Headers,
    entry: Entry,
    ingress: u32,
    (backend, hop): (u32, &Hop),
) -> Result<Outcome, Reason> {
    flow::touch(entry);
    stats::inbound(backend, headers.ip.total_length);
    nat::apply(headers, &entry.line.rewrite(), hop);
    let egress = Egress::between(ingress, hop.ifindex());
    if entry.holds() {
        Ok(Outcome { reason: Reason::Forwarded, egress })
    } else {
        Err(Reason::Contended)
    }
}

#[inline(always)]
fn to_client(
    headers: &mut Headers,
    entry: Entry,
    ingress: u32,
    backend: u32,
) -> Result<Outcome, Reason> {
    flow::touch(entry);
    stats::outbound(backend, headers.ip.total_length);
    let hop = entry.line.client();
    nat::apply(headers, &entry.line.rewrite(), &hop);
    let egress = Egress::between(ingress, hop.ifindex());
    if entry.holds() {
        Ok(Outcome { reason: Reason::Replied, egress })
    } else {
        Err(Reason::Contended)
    }
}

/// Handles a packet of no known connection: opens one, if it is a SYN to a service.
#[inline(always)]
fn admit(
    context: &XdpContext,
    headers: &mut Headers,
    key: &FlowKey,
    ingress: u32,
    history: History,
) -> Result<Outcome, Reason> {
    let flags = headers.tcp.flags;
    let arrived = arrival::of_client(headers, ingress);
    let may_open = arrived.is_ok() && tcp::opens(flags) && check_ttl(headers).is_ok();
    let Some(id) = select::of_service(key, may_open, history) else {
        return Err(arrived.map_or(Reason::NotOurs, |()| forgotten::named(context, key, flags)));
    };
    arrived?;
    if !tcp::is_possible(flags) {
        return Err(Reason::BadFlags);
    }
    if flags & tcp::RST != 0 {
        return Err(Reason::StrayReset);
    }
    if !tcp::opens(flags) {
        return Err(Reason::ResetUnknownFlow);
    }
    check_ttl(headers)?;
    if id == select::NOBODY {
        return Err(Reason::ResetNoBackend);
    }
    let number = u32::from_be_bytes(headers.tcp.sequence);
    let client = client_hop(headers, ingress);
    let entry = flow::open(key, &New { backend: id, client, number, marks: history.marks() })?;
    stats::connection(id);
    trace::opened(context, key, &entry.line.rewrite().to());
    let backend: &Backend = select::backend(id).ok_or(Reason::Unreachable)?;
    to_backend(headers, entry, ingress, (id, &backend.hop))
}

/// Fails if the time to live is used up.
#[inline(always)]
fn check_ttl(headers: &Headers) -> Result<(), Reason> {
    if headers.ip.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    Ok(())
}

/// Returns the next hop towards the sender of this frame.
#[inline(always)]
fn client_hop(headers: &Headers, ingress: u32) -> Hop {
    Hop::new(headers.ethernet.src, headers.ethernet.dst, ingress)
}
