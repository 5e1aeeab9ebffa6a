//! Validates the origin of frames. Packets of known connections are compared with their entry
//! instead, and only checked here if they differ.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use lb_common::{
    address_filter::{WORDS, bit_of},
    backend::Hop,
    limits,
    macs::{self, Slot},
    origin,
    reason::Reason,
    wire::Headers,
};

/// See [`lb_common::macs`].
#[btf_map]
static OWN_MACS: Array<Slot, { macs::SLOTS as usize }> = Array::new();

/// Filter of the keys of `ORIGINS`: see [`lb_common::address_filter`].
#[btf_map]
static ORIGIN_BITS: Array<u64, { WORDS as usize }> = Array::new();

/// The interface that packets from an address may come in by: a backend's, or
/// [`origin::NOWHERE`].
#[btf_map]
static ORIGINS: HashMap<u32, u32, { limits::ORIGINS as usize }> = HashMap::new();

/// Validates a packet to a service that belongs to no known connection.
#[inline(always)]
pub(crate) fn of_client(headers: &Headers, ingress: u32) -> Result<(), Reason> {
    at_our_mac(headers)?;
    let source = headers.ip.src;
    if origin::is_nobodys(source) || !may_come_in_by(source, ingress) {
        return Err(Reason::MartianSource);
    }
    Ok(())
}

/// Validates a backend's packet that did not come in where packets to `hop` leave.
#[inline(always)]
pub(crate) fn of_backend(headers: &Headers, ingress: u32, hop: &Hop) -> Result<(), Reason> {
    if hop.ifindex() != ingress {
        return Err(Reason::WrongInterface);
    }
    at_our_mac(headers)
}

/// Fails unless a frame is addressed to one of our own MAC addresses.
#[inline(always)]
pub(crate) fn at_our_mac(headers: &Headers) -> Result<(), Reason> {
    let mac = headers.ethernet.dst;
    if is_our_mac(mac) {
        return Ok(());
    }
    Err(if macs::is_group(mac) { Reason::GroupMac } else { Reason::OtherMac })
}

/// Returns true for one of our own MAC addresses: see [`lb_common::macs`].
#[inline(always)]
pub(crate) fn is_our_mac(mac: [u8; 6]) -> bool {
    OWN_MACS.get(macs::slot_of(mac)).is_some_and(|slot| slot.has(mac))
}

#[inline(always)]
fn may_come_in_by(source: [u8; 4], ingress: u32) -> bool {
    let (word, bit) = bit_of(source);
    if ORIGIN_BITS.get(word).is_none_or(|word| word & bit == 0) {
        return true;
    }
    let only = ORIGINS.get_ptr(&u32::from_ne_bytes(source)).map(crate::raw::copied);
    only.is_none_or(|only| only == ingress)
}

/// Returns the next hop towards the sender of this frame.
#[inline(always)]
pub(crate) fn client_hop(headers: &Headers, ingress: u32) -> Hop {
    Hop::new(headers.ethernet.src, headers.ethernet.dst, ingress)
}
