//! Groups of addresses that this node may be standby for: it forwards nothing of them then, and answers no
//! request for their MAC address.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use lb_common::{
    group::{self, ADDRESSES, Group, Lease, NO_GROUP, moment},
    mapped,
    reason::Reason,
    wire::{ARP_REQUEST, Arp, ETHERTYPE_ARP, Ethernet},
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

/// Returns the reason for a frame without IPv4: another one if it asks for the MAC address of a group's
/// address that this node is standby for.
#[inline(always)]
pub(crate) fn without_ipv4(packet: &mut Packet) -> Reason {
    if raw::has_groups() && asks_for_standby(packet).unwrap_or(false) {
        return Reason::Standby;
    }
    Reason::NotIpv4
}

#[inline(always)]
fn asks_for_standby(packet: &mut Packet) -> Option<bool> {
    let ethernet: &Ethernet = packet.at(0)?;
    if ethernet.ethertype != ETHERTYPE_ARP {
        return Some(false);
    }
    let arp: &Arp = packet.at(size_of::<Ethernet>())?;
    // Who announces an address asks for it, too (RFC 5227, section 3).
    Some(arp.head == ARP_REQUEST && arp.sender != arp.target && is_standby_for(arp.target))
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
