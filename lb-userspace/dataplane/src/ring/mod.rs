//! Building of rings: the members' numbers of slots, and their order.

mod maglev;
mod need;
mod round_robin;
mod spread;

use std::net::SocketAddr;

pub use self::need::{Excess, Need, most_slots};
use lb_model::Scheduler;

/// Slots of a Maglev table, a prime. Other rings that would be longer are scaled down to about this
/// length, which keeps weights exact to well under 1 %.
pub const LONGEST: u32 = 65_537;

/// Steps of a slow start. Weights of members are in these units of a backend's weight.
pub const STEPS: u32 = 10;

/// Returns the greatest common divisor.
#[must_use]
pub fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A backend that takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: u32,
    pub address: SocketAddr,
    /// Not 0.
    pub weight: u16,
}

/// Builds the ring that a scheduler picks from. With taking turns, the order of the members decides
/// ties; with hashing, only their addresses and weights matter.
#[must_use]
pub fn build(scheduler: Scheduler, members: &[Member]) -> Vec<u32> {
    match scheduler {
        Scheduler::RoundRobin | Scheduler::LeastConnections | Scheduler::Random => {
            round_robin::ring(members)
        }
        Scheduler::Maglev | Scheduler::SourceHash => maglev::ring(members),
    }
}

#[cfg(test)]
mod tests;
