//! A packet's way through the balancer.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    backend::Hop,
    flow::{Direction, FlowKey, marks},
    reason::Reason,
    table::Line as _,
    tcp,
    wire::Headers,
};

use crate::{
    addresses,
    egress::Egress,
    flow,
    flow::Entry,
    outcome::Outcome,
    parse,
    raw::Packet,
    rewrite::{nat, reset},
    select, service, stats, trace,
};

#[inline(always)]
pub(crate) fn decide(packet: &mut Packet) -> Result<Outcome, Reason> {
    match forward(packet) {
        Err(reason @ (Reason::ResetNoBackend | Reason::ResetUnknownFlow)) => {
            reset::answer(packet)?;
            Ok(Outcome::from(reason))
        }
        decided => decided,
    }
}

#[inline(always)]
fn forward(packet: &mut Packet) -> Result<Outcome, Reason> {
    let (context, ingress) = (packet.context(), packet.ingress());
    let headers = parse::headers(packet)?;
    if !addresses::may_be_ours(headers.ip.dst) {
        return Err(Reason::NotOurs);
    }
    let key = FlowKey::of(headers);
    let entry = match flow::lookup(&key)? {
        Some(entry) if !(tcp::opens(headers.tcp.flags) && flow::make_way(entry)?) => entry,
        _ => admit(&context, headers, &key, ingress)?,
    };
    known(headers, entry, ingress)
}

/// A packet of a known connection, in either direction.
#[inline(always)]
fn known(headers: &mut Headers, entry: Entry, ingress: u32) -> Result<Outcome, Reason> {
    outlives_us(headers)?;
    let length = headers.ip.total_length;
    let backend = entry.line.backend();
    let outcome = match entry.direction() {
        Direction::ToBackend => {
            let hop = &select::backend(backend).ok_or(Reason::Unreachable)?.hop;
            let entry = flow::learn(entry, way_back(headers, ingress));
            flow::touch(entry, Direction::ToBackend, headers.tcp.flags);
            stats::inbound(backend, length);
            nat::apply(headers, &entry.line.rewrite(), hop);
            let egress = Egress::between(ingress, hop.ifindex());
            (entry, Outcome { reason: Reason::Forwarded, egress })
        }
        Direction::ToClient => {
            if entry.tag.marks() & marks::QUARANTINED != 0 {
                return Err(Reason::Quarantined);
            }
            flow::touch(entry, Direction::ToClient, headers.tcp.flags);
            stats::outbound(backend, length);
            let hop = entry.line.client();
            nat::apply(headers, &entry.line.rewrite(), &hop);
            let egress = Egress::between(ingress, hop.ifindex());
            (entry, Outcome { reason: Reason::Replied, egress })
        }
    };
    let (entry, outcome) = outcome;
    if entry.holds() { Ok(outcome) } else { Err(Reason::Contended) }
}

/// A packet of no known connection: opens one, if it is to a service and asks for it.
#[inline(always)]
fn admit(
    context: &XdpContext,
    headers: &Headers,
    key: &FlowKey,
    ingress: u32,
) -> Result<Entry, Reason> {
    let service = service::lookup(key).ok_or(Reason::NotOurs)?;
    let flags = headers.tcp.flags;
    if flags & tcp::RST != 0 {
        return Err(Reason::StrayReset);
    }
    if !tcp::opens(flags) {
        return Err(Reason::ResetUnknownFlow);
    }
    outlives_us(headers)?;
    let backend = select::next(&service, key).ok_or(Reason::ResetNoBackend)?;
    let entry = flow::open(key, backend, way_back(headers, ingress))?;
    stats::connection(backend);
    trace::opened(context, key, &entry.line.rewrite().to());
    Ok(entry)
}

/// Whether a packet may be sent on.
#[inline(always)]
fn outlives_us(headers: &Headers) -> Result<(), Reason> {
    if headers.ip.ttl <= 1 {
        return Err(Reason::TtlExpired);
    }
    Ok(())
}

/// How frames reach the sender of this one.
#[inline(always)]
fn way_back(headers: &Headers, ingress: u32) -> Hop {
    Hop::new(headers.ethernet.src, headers.ethernet.dst, ingress)
}
