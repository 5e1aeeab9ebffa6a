//! Packets of known connections.

use lb_common::{
    backend::Hop,
    flow::{Direction, flags_seen},
    reason::Reason,
    stats::Incident,
    tcp::{self, Segment},
    wire::Headers,
};

use crate::{
    answers, arrival, client_hops, events, flow,
    flow::{Hit, Known},
    forward,
    outcome::Outcome,
    parse, passive, stats,
};

/// Forwards a packet of a known connection, in either direction.
#[inline(always)]
pub(crate) fn forward(
    headers: &mut Headers,
    known: &Known,
    ingress: u32,
) -> Result<Outcome, Reason> {
    parse::time_to_live(headers)?;
    let Known { hit, pair, backend } = *known;
    let id = pair.backend();
    match hit.direction() {
        Direction::ToBackend => {
            let client = arrival::client_hop(headers, ingress);
            let is_usual = is_usual(headers, hit, Direction::ToBackend);
            let mut known = *known;
            let has_moved = client_hops::of(pair.hop()) != Some(client);
            if !is_usual || has_moved {
                known.hit = unusual_of_client(headers, hit, client, is_usual, has_moved)?;
            }
            forward::send(headers, &known, Direction::ToBackend, ingress)
        }
        Direction::ToClient => {
            if hit.tag.flags_seen() & flags_seen::QUARANTINED != 0 {
                return Err(Reason::Quarantined);
            }
            if !backend.hop.receives(headers.ethernet.dst, ingress) {
                arrival::of_backend(headers, ingress, &backend.hop)?;
            }
            if backend.left != 0 {
                passive::heard(id, backend);
            }
            if is_usual(headers, hit, Direction::ToClient) {
                flow::acknowledge(hit, u32::from_be_bytes(headers.tcp.acknowledgement));
            } else {
                answers::follow(headers, hit, id)?;
            }
            forward::send(headers, known, Direction::ToClient, ingress)
        }
    }
}

/// Returns true if a packet in this direction changes nothing but numbers, as most do not.
#[inline(always)]
fn is_usual(headers: &Headers, hit: Hit, direction: Direction) -> bool {
    tcp::is_usual(headers.tcp.flags) && flags_seen::are_settled(hit.tag.flags_seen(), direction)
}

/// Handles a client's packet that changes the state, or comes from another hop than replies go to.
#[inline(always)]
fn unusual_of_client(
    headers: &Headers,
    hit: Hit,
    client: Hop,
    is_usual: bool,
    has_moved: bool,
) -> Result<Hit, Reason> {
    if has_moved {
        arrival::at_our_mac(headers)?;
    }
    let before = hit.tag.flags_seen();
    let after = if is_usual { before } else { track(headers, hit)? };
    // The sender of this ACK has received the backend's SYN, so it is where the client is.
    let is_proof = flags_seen::are_shaken(after) && !flags_seen::are_shaken(before);
    if !has_moved {
        return Ok(hit);
    }
    if is_proof {
        let tag = hit.tag.with_flags_seen(after);
        return Ok(flow::update_client_hop(Hit { tag, ..hit }, client));
    }
    stats::incident(Incident::ClientMoved);
    events::client_moved(hit, headers.ip.src, client);
    Ok(hit)
}

/// Updates a connection by a segment. Returns its flags seen afterwards.
#[inline(always)]
fn track(headers: &Headers, hit: Hit) -> Result<u16, Reason> {
    if !tcp::is_possible(headers.tcp.flags) {
        return Err(Reason::BadFlags);
    }
    flow::track(hit, &Segment::of(headers))
}
