//! Answers of the balancer itself, in the very frame that caused them.

mod reset;

use lb_common::reason::Reason;

use crate::{egress::Egress, migration, outcome::Outcome, raw::Packet};

/// Turns the frame into the reset that answers it, for this reason.
#[inline(always)]
pub(crate) fn reset(packet: &mut Packet, reason: Reason) -> Outcome {
    if matches!(reason, Reason::ResetUnknownFlow) && migration::is_under_way() {
        return Outcome::Drop(Reason::Migrating);
    }
    match reset::answer(packet) {
        Ok(()) => Outcome::Tx(Egress::Back, reason),
        Err(refused) => Outcome::Drop(refused),
    }
}
