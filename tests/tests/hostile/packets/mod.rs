//! Frames made to harm, through the shipped object.

#[path = "../../packets/bed.rs"]
mod bed;
mod blind;
mod crafted;
mod dead_backends;
mod handshakes;
mod origins;
mod proof;
mod properties;
mod refusals;
mod resets;
mod stolen_replies;
mod unforwardable;

use std::net::{Ipv4Addr, SocketAddrV4};

/// The `nth` client of many, each with an address of its own.
fn spoofed(nth: u32) -> SocketAddrV4 {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + nth);
    SocketAddrV4::new(address, 30_000)
}
