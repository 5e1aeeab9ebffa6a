//! Counters. Each lies in a per-CPU map, so all are plain additions.

use bytemuck::{Pod, Zeroable};

use crate::flow::State;

/// Packets and their bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Count {
    pub packets: u64,
    pub bytes: u64,
}

macro_rules! incidents {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Things worth knowing of that do not end a frame's path. The discriminant is the counter's
        /// index.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Incident {
            $($(#[$doc])* $variant,)+
        }

        impl Incident {
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

incidents! {
    /// A drawn source port was taken; another one was drawn.
    PortClash = "port_clashes",
    /// A source port was used again before its quarantine was over, as all that were tried were
    /// taken.
    EarlyPortReuse = "early_port_reuses",
    /// A connection that has ended made room for a new one, or gave it its source port.
    EvictedClosed = "evicted_closed",
    /// As `EvictedClosed`, of one that was closing.
    EvictedClosing = "evicted_closing",
    /// As `EvictedClosed`, of one whose handshake had not ended.
    EvictedHalfOpen = "evicted_half_open",
    /// As `EvictedClosed`, of one whose backend had not shown that it knows of it.
    EvictedAnswered = "evicted_answered",
    /// As `EvictedClosed`, of one that was established and had been silent for a minute.
    EvictedEstablished = "evicted_established",
    /// A backend refused a connection, or reset it before it was established.
    Refused = "refused_by_backend",
    /// A client's SYN was given another backend than its last one, which had refused it or was down.
    Rescheduled = "rescheduled",
    /// A client's packet came another way than its connection's replies take. The daemon looks
    /// whether they should follow.
    ClientMoved = "client_path_changes",
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

/// What went through one backend. "In" is from clients, "out" is to clients; bytes are IP bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    pub connections: u64,
    pub inbound: Count,
    pub outbound: Count,
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
