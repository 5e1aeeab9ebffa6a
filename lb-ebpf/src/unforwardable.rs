//! Packets that this version does not forward. To a service they are dropped: the host, which has
//! the VIP, would answer them by a reset with the right number.

use lb_common::{
    flow::FlowKey,
    reason::Reason,
    wire::{Ethernet, Ipv4, Ports},
};

use crate::{flow, raw::Packet, service, vip_filter};

/// Returns the final reason for a frame that the parser has left for this reason.
#[inline(never)]
pub(crate) fn named(packet: &mut Packet, reason: Reason) -> Reason {
    let to_service = match reason {
        Reason::IpOptions => Reason::IpOptionsToService,
        Reason::Fragment => Reason::FragmentToService,
        _ => return reason,
    };
    if is_to_service(packet).unwrap_or(false) { to_service } else { reason }
}

/// Returns true for a first fragment or whole packet to a service or of a known connection.
#[inline(always)]
fn is_to_service(packet: &mut Packet) -> Option<bool> {
    const START: usize = size_of::<Ethernet>();
    let ip: &Ipv4 = packet.at(START)?;
    let (src, dst, length) = (ip.src, ip.dst, ip.header_length());
    if !vip_filter::may_be_ours(dst) || ip.is_later_fragment() {
        return Some(false);
    }
    let ports: &Ports = packet.at(START + length)?;
    let key = FlowKey::tcp(src, ports.src, dst, ports.dst);
    Some(service::is_served(dst, ports.dst) || flow::is_known(&key))
}
