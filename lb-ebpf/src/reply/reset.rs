//! Replaces a frame by the reset that answers it.

use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};
use lb_common::{
    rate_limiter::{self, RateLimiter},
    reason::Reason,
    reset,
    wire::Headers,
};

use crate::raw::{self, Packet};

/// Rate limits: this CPU's in all, and then one for each part of the Internet, so that nobody can
/// make us flood others, and no single sender can use up the whole.
#[btf_map]
static RESETS: PerCpuArray<RateLimiter, { 1 + rate_limiter::PARTS as usize }> = PerCpuArray::new();

/// Turns the frame into the reset that answers it.
#[inline(never)]
pub(crate) fn answer(packet: &mut Packet) -> Result<(), Reason> {
    let headers: &Headers = packet.at(0).ok_or(Reason::ResetFailed)?;
    let [one, other] = rate_limiter::parts_of(headers.ip.src, raw::flow_seed().0[0]);
    let each = raw::resets_each();
    let share = rate_limiter::share_of(each);
    if !(take(1 + one, share)? || take(1 + other, share)?) || !take(0, each)? {
        return Err(Reason::ResetCapped);
    }
    packet.truncate(size_of::<Headers>()).ok_or(Reason::ResetFailed)?;
    reset::answer(packet.at(0).ok_or(Reason::ResetFailed)?);
    Ok(())
}

#[inline(always)]
fn take(place: u32, each: u32) -> Result<bool, Reason> {
    let mut copy = None;
    let limiter = raw::changeable(RESETS.get_ptr_mut(place).ok_or(Reason::ResetFailed)?, &mut copy);
    Ok(limiter.take(raw::now(), each))
}
