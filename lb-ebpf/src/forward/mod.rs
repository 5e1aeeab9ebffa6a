//! Forwarding: the frame is rewritten and leaves. One file for each mode.

mod nat;

use lb_common::{
    backend::Hop,
    flow::{Ends as _, FlowKey, Rewrite},
    reason::Reason,
    table::Entry as _,
    wire::Headers,
};

use crate::{client_hops, egress::Egress, flow, flow::Known, outcome::Outcome, stats};

/// Sends a client's packet to its backend.
#[inline(always)]
pub(crate) fn to_backend(
    headers: &mut Headers,
    known: &Known,
    ingress: u32,
) -> Result<Outcome, Reason> {
    let Known { hit, backend, .. } = *known;
    // Read again, as the stack has no room to keep it.
    let pair = hit.entry.pair();
    flow::touch(hit);
    stats::inbound(pair.backend(), headers.ip.total_length);
    let to = pair.outside(hit.tag.protocol(), &backend.endpoints());
    let egress = send(headers, &to, &backend.hop, ingress);
    if hit.holds() { Ok(Outcome::Tx(egress, Reason::Forwarded)) } else { Err(Reason::Contended) }
}

/// Sends a backend's packet to its client.
#[inline(always)]
pub(crate) fn to_client(
    headers: &mut Headers,
    known: &Known,
    ingress: u32,
) -> Result<Outcome, Reason> {
    let Known { hit, backend, .. } = *known;
    // Read again, as the stack has no room to keep it.
    let pair = hit.entry.pair();
    flow::touch(hit);
    stats::outbound(pair.backend(), headers.ip.total_length);
    let hop = client_hops::of(pair.hop()).ok_or(Reason::Contended)?;
    let to = pair.inside(hit.tag.protocol(), &backend.endpoints()).turned();
    let egress = send(headers, &to, &hop, ingress);
    if hit.holds() { Ok(Outcome::Tx(egress, Reason::Replied)) } else { Err(Reason::Contended) }
}

/// Rewrites a frame, and returns where it leaves.
#[inline(always)]
fn send(headers: &mut Headers, to: &FlowKey, hop: &Hop, ingress: u32) -> Egress {
    nat::apply(headers, &Rewrite::new(&FlowKey::of(headers), to), hop);
    Egress::between(ingress, hop.ifindex())
}
