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

/// Things worth knowing of that do not end a packet's way. The discriminant is the counter's index.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A drawn source port was taken; another one was drawn.
    PortClash,
    /// A source port was used again before its rest was over, as all that were tried were taken.
    EarlyPortReuse,
    /// A connection in this state made room for a new one.
    EvictedClosed,
    EvictedClosing,
    EvictedHalfOpen,
    EvictedEstablished,
}

pub const INCIDENTS: u32 = Incident::EvictedEstablished as u32 + 1;

impl Incident {
    #[must_use]
    #[inline(always)]
    pub const fn evicted(state: State) -> Self {
        match state {
            State::Closed => Self::EvictedClosed,
            State::Closing => Self::EvictedClosing,
            State::HalfOpen => Self::EvictedHalfOpen,
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
