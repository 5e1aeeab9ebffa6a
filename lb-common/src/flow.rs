//! Flows: what the balancer remembers of a connection.
//!
//! A connection is a pair of entries, one for each direction. Each is a complete rewrite rule, and
//! each leads to the other: a packet that one of them has rewritten is, turned round, a packet
//! that the other one matches.

use bytemuck::{Pod, Zeroable};

use crate::{
    backend::Hop,
    checksum::Delta,
    wire::{Headers, PROTO_TCP},
};

/// The five-tuple as it stands in a packet.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKey {
    pub src: [u8; 4],
    pub dst: [u8; 4],
    /// Stands between what is adjacent in a packet, or the compiler would copy eight bytes at
    /// once to where the verifier's stack is only aligned to four.
    protocol: u32,
    pub src_port: [u8; 2],
    pub dst_port: [u8; 2],
}

impl FlowKey {
    #[must_use]
    pub const fn tcp(src: [u8; 4], src_port: [u8; 2], dst: [u8; 4], dst_port: [u8; 2]) -> Self {
        Self { src, dst, src_port, dst_port, protocol: PROTO_TCP as u32 }
    }

    #[must_use]
    pub const fn of(headers: &Headers) -> Self {
        Self::tcp(headers.ip.src, headers.tcp.src_port, headers.ip.dst, headers.tcp.dst_port)
    }

    /// The tuple of the packets that answer this one.
    #[must_use]
    pub const fn turned(&self) -> Self {
        Self::tcp(self.dst, self.dst_port, self.src, self.src_port)
    }

    /// The rule that makes this tuple into `to`.
    #[must_use]
    pub const fn rewrite_to(&self, to: &Self) -> Rewrite {
        let ip = Delta::NONE.address(self.src, to.src).address(self.dst, to.dst);
        let tcp = ip.port(self.src_port, to.src_port).port(self.dst_port, to.dst_port);
        Rewrite { to: *to, ip_delta: ip.folded(), tcp_delta: tcp.folded(), reserved: 0 }
    }
}

/// The tuple that a packet gets, and what that changes in its checksums.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Rewrite {
    pub to: FlowKey,
    /// See [`Delta::stored`].
    pub ip_delta: u16,
    pub tcp_delta: u16,
    pub reserved: u32,
}

/// Which way a flow's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToBackend,
    ToClient,
}

/// One direction of a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    pub rewrite: Rewrite,
    /// The way back to the client, as learnt from the client's own frames; the same in both
    /// entries of a pair.
    pub client: Hop,
    pub backend: u32,
    /// When it was made, in [`ticks`].
    pub born: u32,
    /// When its last packet went by, in [`ticks`].
    pub seen: u32,
    /// See [`marks`].
    pub marks: u32,
}

const _: () = assert!(size_of::<FlowKey>() == 16);
const _: () = assert!(size_of::<Rewrite>() == 24);
const _: () = assert!(size_of::<Flow>() == 64);

impl Flow {
    /// The key of the pair's other entry.
    #[must_use]
    pub const fn partner(&self) -> FlowKey {
        self.rewrite.to.turned()
    }

    #[must_use]
    pub const fn direction(&self) -> Direction {
        if self.marks & marks::TO_CLIENT == 0 { Direction::ToBackend } else { Direction::ToClient }
    }
}

/// What has been seen of a connection, and decided of it: bits of [`Flow::marks`]. Both entries of
/// a pair carry the same, but for [`TO_CLIENT`](marks::TO_CLIENT) and what follows it.
pub mod marks {
    use super::Direction;
    use crate::tcp;

    pub const CLIENT_SYN: u32 = 1 << 0;
    /// A segment of the client's that acknowledges and does not open.
    pub const CLIENT_ACK: u32 = 1 << 1;
    pub const CLIENT_FIN: u32 = 1 << 2;
    /// The client's last segment was a reset.
    pub const CLIENT_RST: u32 = 1 << 3;

    pub const BACKEND_SYN: u32 = CLIENT_SYN << BACKEND;
    pub const BACKEND_FIN: u32 = CLIENT_FIN << BACKEND;
    pub const BACKEND_RST: u32 = CLIENT_RST << BACKEND;

    /// This entry matches the backend's packets.
    pub const TO_CLIENT: u32 = 1 << 8;
    /// Its connection was replaced; the tuple rests until it may be used again.
    pub const QUARANTINED: u32 = 1 << 9;
    /// A CPU has taken it, to replace its connection.
    pub const CLAIMED: u32 = 1 << 10;

    /// From the client's marks to the backend's.
    const BACKEND: u32 = 4;

    /// The marks after a segment with these TCP flags.
    #[must_use]
    #[inline]
    pub const fn after(marks: u32, direction: Direction, flags: u8) -> u32 {
        let side = match direction {
            Direction::ToBackend => 0,
            Direction::ToClient => BACKEND,
        };
        let mut seen = 0;
        if flags & tcp::SYN != 0 {
            seen |= CLIENT_SYN;
        } else if flags & tcp::ACK != 0 {
            seen |= CLIENT_ACK;
        }
        if flags & tcp::FIN != 0 {
            seen |= CLIENT_FIN;
        }
        if flags & tcp::RST != 0 {
            seen |= CLIENT_RST;
        }
        marks & !(CLIENT_RST << side) | seen << side
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The handshake has not ended.
    HalfOpen,
    Established,
    /// One side has said that it sends no more.
    Closing,
    /// Both sides have, or one has reset.
    Closed,
}

impl State {
    /// The state of the connection whose entries carry these marks.
    #[must_use]
    #[inline]
    pub const fn of(marks: u32) -> Self {
        const ENDED: u32 = marks::CLIENT_RST | marks::BACKEND_RST | marks::QUARANTINED;
        const FINS: u32 = marks::CLIENT_FIN | marks::BACKEND_FIN;
        const SHAKEN: u32 = marks::CLIENT_ACK | marks::BACKEND_SYN;
        if marks & ENDED != 0 || marks & FINS == FINS {
            return Self::Closed;
        }
        if marks & FINS != 0 {
            return Self::Closing;
        }
        if marks & SHAKEN == SHAKEN { Self::Established } else { Self::HalfOpen }
    }
}

/// A clock for idle times: units of 2^20 ns, about 1.05 ms, which wrap after 52 days.
pub mod ticks {
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the clock wraps")]
    pub const fn from_nanos(nanos: u64) -> u32 {
        (nanos >> 20) as u32
    }

    /// Nanoseconds between two moments that are less than 26 days apart; 0 if `later` is earlier,
    /// as it may seem on another CPU.
    #[must_use]
    pub const fn nanos_between(earlier: u32, later: u32) -> u64 {
        let elapsed = later.wrapping_sub(earlier);
        if elapsed > u32::MAX / 2 { 0 } else { (elapsed as u64) << 20 }
    }
}
