//! Malicious frames, through the shipped object.

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

use lb_common::flow::flags_seen;
use lb_tests::object::Object;

use self::testbed::key_of;

/// Returns a connection's marks and number, without the mark of a SYN that was seen, which the
/// backend's answer clears.
fn lasting(object: &Object, port: u16) -> Option<(u16, u32)> {
    let (seen, number) = object.progress(&key_of(port))?;
    Some((seen & !flags_seen::ASKED, number))
}

/// Returns the `nth` of many clients, each with its own address.
fn spoofed(nth: u32) -> SocketAddrV4 {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(100, 64, 0, 0)) + nth);
    SocketAddrV4::new(address, 30_000)
}
