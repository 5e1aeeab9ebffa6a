//! Events from the program to the daemon.

use bytemuck::{Pod, Zeroable};

use crate::backend::Hop;

/// Size of the ring buffer of events, in bytes.
pub const RING_BYTES: u32 = 1 << 16;

/// Consecutive refusals, without a SYN-ACK in between, after which new connections skip a backend.
pub const REFUSALS: u32 = 3;

/// Maximum number of events of one kind from each CPU in each window of a
/// [`RateLimiter`](crate::rate_limiter::RateLimiter).
pub const EACH: u32 = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// Number of a [`Kind`].
    pub kind: u32,
    pub backend: u32,
    /// `ClientMoved` only: tag and index in the flow table of the client's connection.
    pub tag: u64,
    pub index: u32,
    pub client: [u8; 4],
    /// `ClientMoved` only: next hop of replies, as the packet's source suggests.
    pub hop: Hop,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The backend has refused [`REFUSALS`] handshakes in a row.
    Refusing,
    /// A client has retransmitted its SYN, as the backend has not answered.
    Silent,
    /// A client's packets come from another next hop than its replies are sent to.
    ClientMoved,
}

pub const KINDS: u32 = 3;

impl Kind {
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Refusing),
            1 => Some(Self::Silent),
            2 => Some(Self::ClientMoved),
            _ => None,
        }
    }
}

/// A new next hop for the replies of one entry: the daemon's input to the program that writes it to
/// the flow table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ClientHop {
    pub tag: u64,
    pub hop: Hop,
    pub index: u32,
    pub reserved: u32,
}

/// Maximum number of [`ClientHop`]s in one run of the program.
pub const HOPS_EACH_RUN: usize = 32;

const _: () = assert!(size_of::<Event>() == 40);
const _: () = assert!(size_of::<ClientHop>() == 32);
