//! Maglev hashing (D. E. Eisenbud et al., "Maglev: A fast and reliable software network load
//! balancer", NSDI 2016, section 3.4), with weights.

use std::net::{IpAddr, SocketAddr};

use lb_common::mix::mix;

use super::{LONGEST, Member, spread::spread};

/// No backend has this id.
const FREE: u32 = 0;

/// A table that hardly changes when members come and go. Members take turns, by their weights; each
/// takes the first free slot in an order of its own. Of more members than slots, those with the
/// highest addresses get none.
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

/// How many slots each gets: what its weight says, rounded, and one at least.
fn shares(members: &[Member]) -> Vec<u32> {
    let mut lightest_first: Vec<usize> = (0..members.len()).collect();
    lightest_first.sort_by_key(|place| members[*place].weight);
    let mut weights: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
    let mut slots = LONGEST;
    let mut shares = vec![0; members.len()];
    for place in lightest_first {
        // What rounding leaves or takes is for those who come later, to whom it means less.
        let weight = u64::from(members[place].weight);
        let share = (u64::from(slots) * weight + weights / 2) / weights.max(1);
        shares[place] = u32::try_from(share).unwrap_or(LONGEST).max(1);
        slots -= shares[place];
        weights -= weight;
    }
    shares
}

/// All slots, in the order in which a member wants them: the paper's permutation.
struct Order {
    next: u32,
    skip: u32,
}

impl Order {
    /// By the address alone, so that all balancers agree.
    #[expect(clippy::cast_possible_truncation, reason = "each half of the hash is a number")]
    const fn of(address: SocketAddr) -> Self {
        let hash = hash(address);
        Self { next: (hash >> 32) as u32 % LONGEST, skip: hash as u32 % (LONGEST - 1) + 1 }
    }

    /// The free slot that it wants most. There must be one.
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
