//! Schedulers: how a new connection's backend is selected from its service's ring.

use crate::mix::mix;

#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// One slot after another.
    #[default]
    RoundRobin,
    /// The less loaded of two slots drawn at random (M. Mitzenmacher, "The power of two choices in
    /// randomized load balancing", IEEE TPDS 12, 2001).
    LeastConnections,
    /// By a hash of the client's address and port.
    Maglev,
    /// By a hash of the client's address.
    SourceHash,
    /// At random.
    Random,
    /// One slot after another on each CPU, whatever the others do: each begins at another slot, and none
    /// waits for the others. With n CPUs, a backend with one slot gets at most n connections more or
    /// fewer than by [`Self::RoundRobin`].
    RoundRobinPerCpu,
}

impl Scheduler {
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// Returns the scheduler of this number, or for an unknown one round robin.
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::LeastConnections,
            2 => Self::Maglev,
            3 => Self::SourceHash,
            4 => Self::Random,
            5 => Self::RoundRobinPerCpu,
            _ => Self::RoundRobin,
        }
    }
}

/// A client's address and port, as schedulers use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client(u64);

impl Client {
    #[must_use]
    #[inline(always)]
    pub const fn new(address: [u8; 4], port: [u8; 2]) -> Self {
        let port = u16::from_ne_bytes(port) as u64;
        Self(u32::from_ne_bytes(address) as u64 | port << 32)
    }

    /// Returns the client without its port.
    #[must_use]
    #[inline(always)]
    pub const fn without_port(self) -> Self {
        Self(self.0 & 0xffff_ffff)
    }

    /// Returns the position in a ring of the client's connections, as a part of 2^32. It depends on
    /// no secret, so that two balancers with the same ring agree.
    #[must_use]
    #[inline(always)]
    pub const fn hash(self) -> u32 {
        /// The golden ratio, as in splitmix64, so that the client of all zeros is mixed, too.
        const OFFSET: u64 = 0x9e37_79b9_7f4a_7c15;
        (mix(self.0.wrapping_add(OFFSET)) >> 32) as u32
    }
}

/// Returns true if the first backend has more connections for its weight than the other one.
#[must_use]
#[inline(always)]
pub const fn is_busier(connections: u32, weight: u16, other: u32, other_weight: u16) -> bool {
    connections as u64 * other_weight as u64 > other as u64 * weight as u64
}
