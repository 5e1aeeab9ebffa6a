//! Counters. Most are in per-CPU maps, so that their updates are plain additions.

use core::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::{flow::State, handshake::bucket, named};

/// Packets and their bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

named! {
    /// Events worth counting that do not end a frame's path. The discriminant is the counter's index, by which
    /// an upgrade keeps its counts: new ones go to the end.
    #[repr(u32)]
    pub enum Incident {
        /// A drawn source port was taken; another one was drawn.
        PortClash = "port_clashes",
        /// A source port was reused before its quarantine was over, because all that were tried were
        /// taken.
        EarlyPortReuse = "early_port_reuses",
        /// A closed connection was removed early, to make room or to free its source port.
        EvictedClosed = "evicted_closed",
        /// As `EvictedClosed`, for a connection that one side had closed.
        EvictedClosing = "evicted_closing",
        /// As `EvictedClosed`, for a half-open connection.
        EvictedHalfOpen = "evicted_half_open",
        /// As `EvictedClosed`, for a connection whose backend had not confirmed the handshake.
        EvictedAnswered = "evicted_answered",
        /// As `EvictedClosed`, for an established connection that had been silent for a minute.
        EvictedEstablished = "evicted_established",
        /// A backend refused a connection, or reset it before it was established.
        Refused = "refused_by_backend",
        /// A client's SYN was given another backend than its last one, which had refused it or was down.
        Rescheduled = "rescheduled",
        /// A client's packet came from another next hop than its replies are sent to: the daemon checks
        /// the kernel's route.
        ClientMoved = "client_path_changes",
        /// The end of a connection was left out of the connection log: there were too many at once, or the
        /// daemon did not read them.
        NotLogged = "ends_not_logged",
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a dozen")]
pub const INCIDENTS: u32 = Incident::ALL.len() as u32;

impl Incident {
    #[must_use]
    #[inline(always)]
    pub const fn evicted(state: State) -> Self {
        match state {
            State::Closed => Self::EvictedClosed,
            State::Closing => Self::EvictedClosing,
            State::HalfOpen => Self::EvictedHalfOpen,
            State::Answered => Self::EvictedAnswered,
            State::Established => Self::EvictedEstablished,
        }
    }
}

/// Traffic of one backend. "In" is from clients, "out" is to clients; bytes are IP bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    pub connections: u64,
    pub inbound: Count,
    pub outbound: Count,
}

/// Number of buckets of a [latency](crate::handshake::bucket).
pub const LATENCY_BUCKETS: u32 = 28;

/// How well connections to one backend go. Counted by locked operations, as most of it is rare.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct TcpStats {
    pub resets_by_client: u64,
    pub resets_by_backend: u64,
    /// SYNs that clients sent again before the handshake had ended.
    pub retransmitted_syns: u64,
    /// Sum of the latencies of sampled handshakes, in nanoseconds.
    pub handshake_nanos: u64,
    /// Number of sampled handshakes by [`bucket`](crate::handshake::bucket).
    pub handshakes: [u64; LATENCY_BUCKETS as usize],
}

/// Number of words of [`TcpStats`]: a power of two, so that the kernel program can bound an index by a mask.
#[expect(clippy::cast_possible_truncation, reason = "a few dozen")]
pub const TCP_WORDS: u32 = (size_of::<TcpStats>() / size_of::<u64>()) as u32;

const _: () = assert!(TCP_WORDS.is_power_of_two());

/// Word of [`TcpStats`], by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpWord(pub u32);

impl TcpWord {
    pub const RESETS_BY_CLIENT: Self = Self::at(offset_of!(TcpStats, resets_by_client));
    pub const RESETS_BY_BACKEND: Self = Self::at(offset_of!(TcpStats, resets_by_backend));
    pub const RETRANSMITTED_SYNS: Self = Self::at(offset_of!(TcpStats, retransmitted_syns));
    pub const HANDSHAKE_NANOS: Self = Self::at(offset_of!(TcpStats, handshake_nanos));
    const HANDSHAKES: Self = Self::at(offset_of!(TcpStats, handshakes));

    /// Returns the word that counts handshakes of this latency, in nanoseconds.
    #[must_use]
    #[inline(always)]
    pub const fn of_handshake(nanos: u64) -> Self {
        Self(Self::HANDSHAKES.0 + bucket(nanos))
    }

    #[expect(clippy::cast_possible_truncation, reason = "one of a few words")]
    const fn at(offset: usize) -> Self {
        Self((offset / size_of::<u64>()) as u32)
    }
}

impl core::ops::AddAssign for TcpStats {
    fn add_assign(&mut self, other: Self) {
        self.resets_by_client += other.resets_by_client;
        self.resets_by_backend += other.resets_by_backend;
        self.retransmitted_syns += other.retransmitted_syns;
        self.handshake_nanos += other.handshake_nanos;
        for (count, other) in self.handshakes.iter_mut().zip(other.handshakes) {
            *count += other;
        }
    }
}

impl core::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl core::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.inbound += other.inbound;
        self.outbound += other.outbound;
    }
}
