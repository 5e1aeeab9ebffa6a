//! Maglev hashing (D. E. Eisenbud et al., "Maglev: A fast and reliable software network load
//! balancer", NSDI 2016, section 3.4), with weights.

use std::net::{IpAddr, SocketAddr};

use lb_common::mix::mix;

use super::{LONGEST, Member, spread::spread};

/// Marks a free slot. No backend has this id.
const FREE: u32 = 0;

/// Builds a table that hardly changes when members come and go. Members take turns, in proportion
/// to their weights; each takes the first free slot of its own permutation. If there are more
/// members than slots, those with the highest addresses get none.
pub(super) fn ring(members: &[Member]) -> Vec<u32> {
    if members.is_empty() {
        return Vec::new();
    }
    let mut members = members.to_vec();
    members.sort_unstable_by_key(|member| member.address);
    members.truncate(LONGEST as usize);
    let mut orders: Vec<_> = members.iter().map(|member| Order::of(member.address)).collect();
    let mut ring = vec![FREE; LONGEST as usize];
    for place in spread(&shares(&members)) {
        *orders[place].first_free(&mut ring) = members[place].id;
    }
    ring
}

/// Returns the number of slots of each member: its weighted share, rounded, at least one.
fn shares(members: &[Member]) -> Vec<u32> {
    let mut lightest_first: Vec<usize> = (0..members.len()).collect();
    lightest_first.sort_by_key(|place| members[*place].weight);
    let mut weights: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let mut slots = LONGEST;
    let mut shares = vec![0; members.len()];
    for place in lightest_first {
        // Rounding errors are passed on to heavier members, where they matter less.
        let weight = u64::from(members[place].weight);
        let share = (u64::from(slots) * weight + weights / 2) / weights.max(1);
        shares[place] = u32::try_from(share).unwrap_or(LONGEST).max(1);
        slots -= shares[place];
        weights -= weight;
    }
    shares
}

/// A member's permutation of the slots, as in the paper.
struct Order {
    next: u32,
    skip: u32,
}

impl Order {
    /// Depends on the address alone, so that all balancers agree.
    #[expect(clippy::cast_possible_truncation, reason = "each half of the hash is a number")]
    const fn of(address: SocketAddr) -> Self {
        let hash = hash(address);
        Self { next: (hash >> 32) as u32 % LONGEST, skip: hash as u32 % (LONGEST - 1) + 1 }
    }

    /// Returns the first free slot of the permutation. There must be one.
    fn first_free<'a>(&mut self, ring: &'a mut [u32]) -> &'a mut u32 {
        loop {
            let slot = self.next as usize;
            self.next += self.skip;
            if self.next >= LONGEST {
                self.next -= LONGEST;
            }
            if ring[slot] == FREE {
                return &mut ring[slot];
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an address has two halves")]
const fn hash(address: SocketAddr) -> u64 {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
    .to_bits();
    mix(mix(mix((ip >> 64) as u64) ^ ip as u64) ^ address.port() as u64)
}
