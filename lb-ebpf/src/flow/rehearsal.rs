//! The connection that a dry run would open, which is in no table.

use lb_common::{
    flow::{FlowKey, Pair},
    reason::Reason,
    table::{self, Index, Owner, Storage as _},
};

use super::{Hit, Known, New, map::Flows};
use crate::{backends, snat};

/// Returns a connection with the source port of this draw, with an entry that is not its own.
#[inline(always)]
pub(crate) fn rehearsed(inside: &FlowKey, new: &New, draw: u32) -> Result<Known, Reason> {
    let backend = backends::get(new.backend).ok_or(Reason::Unreachable)?;
    let outside = snat::outside(backend, draw).ok_or(Reason::Unreachable)?;
    let pair = Pair::new(inside, &outside, new.backend, new.hop);
    let hit = table::at(Flows, Index(0)).ok_or(Reason::Contended)?;
    let owner = Owner::of(Flows.seed().hash(inside), inside);
    let tag = hit.tag.claimed(owner).published(new.seen);
    Ok(Known { hit: Hit { tag, ..hit }, pair, backend })
}
