//! Answers of the balancer itself, in the very frame that caused them.

mod reset;

use lb_common::reason::Reason;

use crate::{egress::Egress, outcome::Outcome, raw::Packet};

/// Turns the frame into the reset that answers it, for this reason.
#[inline(always)]
pub(crate) fn reset(packet: &mut Packet, reason: Reason) -> Outcome {
    match reset::answer(packet) {
        Ok(()) => Outcome::Tx(Egress::Back, reason),
        Err(refused) => Outcome::Drop(refused),
    }
}
