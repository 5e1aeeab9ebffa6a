//! Types and functions that the XDP program and the control plane share.
//!
//! Rules of this crate: every type in a map is `repr(C)` and [`bytemuck::Pod`], so it has no
//! padding; addresses, ports and MACs are byte arrays in network byte order; everything else is a
//! native integer. No aya-ebpf, no I/O: all of it is tested on the host.

#![no_std]
#![expect(
    clippy::inline_always,
    reason = "in the kernel a call costs a spill of what is known of the frame"
)]

pub mod address_filter;
pub mod backend;
pub mod capture;
pub mod checksum;
pub mod client_hops;
pub mod clock;
pub mod ended;
pub mod event;
pub mod flow;
pub mod group;
pub mod guard;
pub mod halves;
pub mod handshake;
pub mod limits;
pub mod macs;
pub mod mix;
mod named;
pub mod origin;
pub mod rate_limiter;
pub mod reason;
pub mod reset;
pub mod ring;
pub mod schedule;
pub mod service;
pub mod service_table;
pub mod snat;
pub mod stats;
pub mod table;
pub mod tcp;
pub mod template;
pub mod trail;
#[cfg(feature = "user")]
mod user;
pub mod volley;
pub mod wire;

/// Version of the map layouts. Pins are in a directory of this version, so that no program opens
/// maps it would misread: raise it with every change of a map's type, key, value or meaning. The daemon takes
/// over the maps of the layout before; one whose values get another meaning must get another name.
pub const LAYOUT: u32 = 10;

/// Converts an IPv4 address to IPv4-mapped IPv6 (RFC 4291, section 2.5.5.2).
#[must_use]
#[inline]
pub fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    bytemuck::must_cast([0, u64::from_ne_bytes([0, 0, 0xff, 0xff, a, b, c, d])])
}

/// Returns the IPv4 address of an IPv4-mapped one: its last four bytes.
#[must_use]
pub const fn unmapped(mapped: [u8; 16]) -> [u8; 4] {
    [mapped[12], mapped[13], mapped[14], mapped[15]]
}
