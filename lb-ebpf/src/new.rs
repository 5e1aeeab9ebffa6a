//! Packets of no known connection.

use aya_ebpf::programs::XdpContext;
use lb_common::{
    flow::{Direction, Ends as _, FlowKey},
    reason::Reason,
    tcp,
    wire::Headers,
};

use crate::{
    accounts, arrival, backends, client_hops,
    flow::New,
    forgotten, forward, group,
    history::History,
    opened,
    outcome::{Outcome, Stop},
    parse, select, stats, tcp_stats,
};

/// Handles a packet of no known connection: opens one, if it is a SYN to a service.
#[inline(always)]
pub(crate) fn admit(
    context: &XdpContext,
    headers: &mut Headers,
    key: &FlowKey,
    ingress: u32,
    history: History,
) -> Result<Outcome, Stop> {
    let flags = headers.tcp.flags;
    let arrived = arrival::of_client(headers, ingress);
    let may_open = arrived.is_ok() && tcp::opens(flags) && parse::time_to_live(headers).is_ok();
    let Some(id) = select::of_service(key, may_open, history) else {
        let is_standby = group::is_standby_for(key.dst());
        arrived.map_err(|reason| if is_standby { reason } else { Reason::NotOurs })?;
        if is_standby {
            return Err(Reason::Standby.into());
        }
        return Err(forgotten::stop(context, key, flags));
    };
    arrived?;
    if !tcp::is_possible(flags) {
        return Err(Reason::BadFlags.into());
    }
    if flags & tcp::RST != 0 {
        return Err(Reason::StrayReset.into());
    }
    if !tcp::opens(flags) {
        return Err(Stop::Reset(Reason::ResetUnknownFlow));
    }
    parse::time_to_live(headers)?;
    if id == backends::NOBODY {
        return Err(Stop::Reset(Reason::ResetNoBackend));
    }
    let number = u32::from_be_bytes(headers.tcp.sequence);
    let client = arrival::client_hop(headers, ingress);
    let hop = client_hops::index_of(client).ok_or(Reason::ClientHopsFull)?;
    let new = New { backend: id, hop, number, seen: history.flags_seen() };
    let known = forward::open(key, &new)?;
    stats::connection(id);
    tcp_stats::opened(known.pair);
    accounts::begin(known.hit.index);
    let outside = known.pair.outside(key.protocol(), &known.backend.endpoints());
    opened::log(context, key, &outside);
    Ok(forward::send(headers, &known, Direction::ToBackend, ingress)?)
}
