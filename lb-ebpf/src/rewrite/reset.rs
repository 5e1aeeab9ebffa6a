//! A reset in the place of the frame that asked for it.

use lb_common::{reason::Reason, reset, wire::Headers};

use crate::raw::Packet;

/// Turns the frame into the reset that answers it.
#[inline(never)]
pub(crate) fn answer(packet: &mut Packet) -> Result<(), Reason> {
    packet.truncate(size_of::<Headers>()).ok_or(Reason::ResetFailed)?;
    reset::answer(packet.at(0).ok_or(Reason::ResetFailed)?);
    Ok(())
}
