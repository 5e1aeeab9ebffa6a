//! Full NAT: both addresses and both ports are rewritten, in both directions.

use lb_common::{
    backend::Hop,
    flow::{FlowKey, Rewrite},
    reason::Reason,
    wire::Headers,
};

use super::Forward;
use crate::{
    flow::{self, Known, New},
    snat,
    variant::IS_DRY,
};

pub(super) enum Nat {}

impl Forward for Nat {
    /// The connection gets a source address and port of its own.
    #[inline(always)]
    fn open(inside: &FlowKey, new: &New) -> Result<Known, Reason> {
        let draw = snat::next_draw(new.backend, flow::now()).ok_or(Reason::Unreachable)?;
        let index = match flow::open(inside, new, draw) {
            Err(Reason::PortsExhausted | Reason::Contended) => {
                let draw = flow::find_port(new.backend, draw)?;
                if IS_DRY {
                    return flow::rehearsed(inside, new, draw);
                }
                // A port that was free or taken just now is lost to another CPU only.
                flow::open(inside, new, draw).map_err(|refused| match refused {
                    Reason::PortsExhausted => Reason::Contended,
                    refused => refused,
                })
            }
            opened => opened,
        }?;
        if IS_DRY {
            return flow::rehearsed(inside, new, draw);
        }
        flow::opened(index, inside)
    }

    #[inline(always)]
    fn apply(headers: &mut Headers, to: &FlowKey, hop: &Hop) {
        headers.ethernet.set_macs(hop.macs());
        Rewrite::new(&FlowKey::of(headers), to).apply(headers);
    }
}
