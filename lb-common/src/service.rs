//! Services: the endpoints that clients connect to.

use bytemuck::{Pod, Zeroable};

use crate::{ring::Ring, wire::PROTO_TCP};

#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct ServiceKey {
    /// IPv4 as IPv4-mapped.
    pub address: [u8; 16],
    pub port: [u8; 2],
    pub reserved: [u8; 2],
    /// Four bytes wide, so that no padding follows.
    pub protocol: u32,
}

impl ServiceKey {
    #[must_use]
    pub const fn tcp(address: [u8; 16], port: [u8; 2]) -> Self {
        Self { address, port, reserved: [0; 2], protocol: PROTO_TCP as u32 }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Service {
    pub ring: Ring,
    pub id: u32,
    /// Number of a [`Scheduler`](crate::schedule::Scheduler).
    pub scheduler: u32,
    /// Number of different backends in its ring.
    pub members: u32,
    /// 1 if a connection that a backend refuses is given another one, else 0.
    pub retries: u16,
    /// Number of the [group](crate::group) of its VIP.
    pub group: u16,
}

const _: () = assert!(size_of::<ServiceKey>() == 24);
const _: () = assert!(size_of::<Service>() == 24);
