//! Frames made to harm, through the shipped object.

mod blind;
mod crafted;
mod dead_backends;
mod forgotten;
mod handshakes;
mod origins;
mod proof;
mod properties;
mod refusals;
mod resets;
mod stolen_replies;
#[path = "../../packets/testbed.rs"]
mod testbed;
mod unforwardable;

use std::net::{Ipv4Addr, SocketAddrV4};

use lb_common::flow::marks;
use lb_tests::object::Object;

use self::testbed::key_of;

/// What segments have made of a client's connection, but that a SYN went by, which its backend's answer
/// ends.
fn lasting(object: &Object, port: u16) -> Option<(u16, u32)> {
    let (marks, number) = object.progress(&key_of(port))?;
    Some((marks & !marks::ASKED, number))
}

/// The `nth` client of many, each with an address of its own.
fn spoofed(nth: u32) -> SocketAddrV4 {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + nth);
    SocketAddrV4::new(address, 30_000)
}
