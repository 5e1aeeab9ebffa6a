//! What the program tells the daemon at once.

use bytemuck::{Pod, Zeroable};

use crate::backend::Hop;

/// Bytes of the ring buffer that events wait in.
pub const RING_BYTES: u32 = 1 << 16;

/// Refusals in a row, without a SYN-ACK in between, after which new connections pass a backend over.
pub const REFUSALS: u32 = 3;

/// Events of a kind that each CPU sends in each window of an
/// [`RateLimiter`](crate::rate_limiter::RateLimiter).
pub const EACH: u32 = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// A [`Kind`], by its number.
    pub kind: u32,
    pub backend: u32,
    /// Of `ClientMoved`: the client's connection, by its place in the flow table, and its tag.
    pub tag: u64,
    pub place: u32,
    pub client: [u8; 4],
    /// Of `ClientMoved`: the way back that the packet's own way suggests.
    pub hop: Hop,
}

#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The backend has refused [`REFUSALS`] handshakes in a row.
    Refusing,
    /// A client has sent its SYN again, as the backend has not answered.
    Silent,
    /// A client's packets come another way than replies take.
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

/// One entry whose client is reached by another hop from now on, as the daemon hands it to the program
/// that writes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ClientHop {
    pub tag: u64,
    pub hop: Hop,
    pub place: u32,
    pub reserved: u32,
}

/// How many of them the program takes at once.
pub const CLIENT_HOPS: usize = 32;

const _: () = assert!(size_of::<Event>() == 40);
const _: () = assert!(size_of::<ClientHop>() == 32);
