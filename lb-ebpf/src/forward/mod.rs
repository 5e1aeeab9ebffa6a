//! Forwarding: a packet is rewritten and leaves. One file for each mode.

mod nat;

use lb_common::{
    backend::Hop,
    flow::{Direction, Ends as _, FlowKey},
    reason::Reason,
    table::Entry as _,
    wire::Headers,
};

use self::nat::Nat;
use crate::{
    accounts, client_hops,
    egress::Egress,
    flow,
    flow::{Known, New},
    outcome::Outcome,
    stats,
    variant::IS_DRY,
};

/// A forwarding mode.
trait Forward {
    /// Opens a client's connection. Returns its entry towards the backend.
    fn open(inside: &FlowKey, new: &New) -> Result<Known, Reason>;

    /// Turns a packet into one of the tuple `to`, and addresses it to `hop`. Its time to live must not be 0.
    fn apply(headers: &mut Headers, to: &FlowKey, hop: &Hop);
}

enum Mode {
    Nat,
}

/// The mode of all services.
const MODE: Mode = Mode::Nat;

/// Calls a function of the mode.
macro_rules! by_mode {
    ($function:ident($($argument:expr),+)) => {
        match MODE {
            Mode::Nat => Nat::$function($($argument),+),
        }
    };
}

/// Opens a client's connection. Returns its entry towards the backend.
#[inline(always)]
pub(crate) fn open(inside: &FlowKey, new: &New) -> Result<Known, Reason> {
    by_mode!(open(inside, new))
}

/// Sends a packet of a known connection in this direction, which is its entry's.
#[inline(always)]
pub(crate) fn send(
    headers: &mut Headers,
    known: &Known,
    direction: Direction,
    ingress: u32,
) -> Result<Outcome, Reason> {
    let Known { hit, backend, .. } = *known;
    // Read again, as the stack has no room to keep it; in a dry run there may be no entry.
    let pair = if IS_DRY { known.pair } else { hit.entry.pair() };
    flow::touch(hit);
    stats::packet(pair.backend(), direction, headers.ip.total_length);
    accounts::add(hit.index, headers.ip.total_length);
    let (hop, reason) = match direction {
        Direction::ToBackend => (backend.hop, Reason::Forwarded),
        Direction::ToClient => {
            (client_hops::of(pair.hop()).ok_or(Reason::Contended)?, Reason::Replied)
        }
    };
    let to = pair.target(hit.tag.protocol(), direction, &backend.endpoints());
    by_mode!(apply(headers, &to, &hop));
    let egress = Egress::between(ingress, hop.ifindex());
    if IS_DRY || hit.holds() { Ok(Outcome::Tx(egress, reason)) } else { Err(Reason::Contended) }
}
