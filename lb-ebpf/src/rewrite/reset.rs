//! A reset in the place of the frame that asked for it.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use lb_common::{allowance::Allowance, reason::Reason, reset, wire::Headers};

use crate::raw::{self, Packet, of_this_cpu};

/// What this CPU has sent, so that nobody can have us flood others.
#[btf_map]
static RESETS: PerCpuArray<Allowance, 1> = PerCpuArray::new();

/// Turns the frame into the reset that answers it.
#[inline(never)]
pub(crate) fn answer(packet: &mut Packet) -> Result<(), Reason> {
    let allowance = of_this_cpu(RESETS.get_ptr_mut(0).ok_or(Reason::ResetFailed)?);
    if !allowance.take(raw::now(), raw::resets_each()) {
        return Err(Reason::ResetCapped);
    }
    packet.truncate(size_of::<Headers>()).ok_or(Reason::ResetFailed)?;
    reset::answer(packet.at(0).ok_or(Reason::ResetFailed)?);
    Ok(())
}
