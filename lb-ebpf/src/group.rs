//! Groups of addresses that this node may be standby for: it forwards nothing of them then, and keeps everything
//! to their addresses from the host.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use lb_common::{
    group::{self, ADDRESSES, Group, Lease, NO_GROUP, moment},
    mapped,
    reason::Reason,
    wire::{
        ARP_REQUEST, Arp, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_QINQ, ETHERTYPE_VLAN, Ethernet,
        Ipv4, TAG_LENGTH,
    },
};

use crate::raw::{self, Packet, copied};

/// By number. The daemon and `xdplb pair demote` write to it.
#[btf_map]
static GROUPS: Array<Group, { group::GROUPS as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The group of each address that is in one.
#[btf_map]
static GROUP_ADDRESSES: HashMap<
    [u8; 16],
    u32,
    { ADDRESSES as usize },
    { BPF_F_NO_PREALLOC as usize },
> = HashMap::new();

/// Fails if this node is standby for a group.
#[inline(always)]
pub(crate) fn serves(group: u32) -> Result<(), Reason> {
    if !raw::has_groups() || group == NO_GROUP || is_active(group) {
        return Ok(());
    }
    Err(Reason::Standby)
}

/// Returns true if this address is of a group that this node is standby for.
#[inline(always)]
pub(crate) fn is_standby_for(address: [u8; 4]) -> bool {
    raw::has_groups() && is_of_standby(u32::from_ne_bytes(address))
}

/// Returns the final reason for a frame that the packet path does not handle and would pass: the host must not see
/// what is for an address of a group that this node is standby for, as it would answer, and speak as that address.
#[inline(always)]
pub(crate) fn unhandled(packet: &mut Packet, reason: Reason) -> Reason {
    if raw::has_groups() && is_for_standby(packet).unwrap_or(false) {
        return Reason::Standby;
    }
    reason
}

#[inline(always)]
fn is_for_standby(packet: &mut Packet) -> Option<bool> {
    let ethernet: &Ethernet = packet.at(0)?;
    let (mut ethertype, mut start) = (ethernet.ethertype, size_of::<Ethernet>());
    if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ {
        let tag: &[u8; TAG_LENGTH] = packet.at(start)?;
        (ethertype, start) = ([tag[2], tag[3]], start + TAG_LENGTH);
    }
    if ethertype == ETHERTYPE_IPV4 {
        let ip: &Ipv4 = packet.at(start)?;
        return Some(is_standby_for(ip.dst));
    }
    if ethertype != ETHERTYPE_ARP {
        return Some(false);
    }
    let arp: &Arp = packet.at(start)?;
    // Who announces an address asks for it, too (RFC 5227, section 3).
    Some(arp.kind == ARP_REQUEST && arp.sender != arp.target && is_standby_for(arp.target))
}

/// A separate function, as the lookups take more stack than a packet's own path has left.
#[inline(never)]
fn is_of_standby(address: u32) -> bool {
    let key = mapped(address.to_ne_bytes());
    let Some(group) = GROUP_ADDRESSES.get_ptr(&key) else { return false };
    serves(copied(group)).is_err()
}

#[inline(always)]
fn is_active(group: u32) -> bool {
    let Some(found) = GROUPS.get_ptr(group) else { return false };
    Lease::of_word(raw::word(found.cast())).is_active(moment(raw::now()))
}
