//! What a packet has met on its path through the program, for `xdplb explain` and `xdplb trace`.

use bytemuck::{Pod, Zeroable};

/// How the flow table knew a packet.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It was not asked.
    Nothing = 0,
    /// As a packet of a known connection.
    Known = 1,
    /// Not at all.
    Unknown = 2,
    /// As a SYN on the tuple of a connection that is over, refused or abandoned, which it replaces.
    Replaced = 3,
}

impl Met {
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        let all = [Self::Nothing, Self::Known, Self::Unknown, Self::Replaced];
        all.into_iter().find(|met| *met as u32 == number)
    }
}

/// What a packet has met. Numbers are of the host's byte order, addresses and ports as in packets; 0 where
/// the path ended before.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Trail {
    /// IPv4 as IPv4-mapped. Of a backend's packet of a known connection, its client's.
    pub client: [u8; 16],
    /// Of a backend's packet of a known connection, its service's.
    pub vip: [u8; 16],
    pub client_port: [u8; 2],
    pub vip_port: [u8; 2],
    /// A [`Met`].
    pub met: u32,
    /// [Flags seen](crate::flow::flags_seen) of the connection before the packet.
    pub seen: u32,
    /// Id of the backend.
    pub backend: u32,
    /// Id of the service, plus 1, if it was looked up.
    pub service: u32,
    /// The slot of the service's ring that the scheduler chose, plus 1, and the length of the ring.
    pub slot: u32,
    pub slots: u32,
    /// A [`Reason`](crate::reason::Reason), plus 1: set by every packet.
    pub reason: u32,
    /// Bytes that the frame had, and has.
    pub length: [u32; 2],
    /// Index of the interface that it came in by.
    pub ingress: u32,
    /// Index of the interface that it leaves by.
    pub egress: u32,
}

const _: () = assert!(size_of::<Trail>() == 80);
