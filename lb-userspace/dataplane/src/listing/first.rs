//! The first connections in some order.

use std::{cmp::Ordering, collections::BinaryHeap};

use lb_model::connections::{Connection, Order};

use super::{Candidate, Search, elapsed};

/// A connection and its place: those of the least rank are the greatest, so that a heap gives them up
/// first.
struct Ranked<'a> {
    rank: u128,
    candidate: Candidate<'a>,
}

impl<'a> Search<'a> {
    /// See [`Listing::first`](super::Listing::first).
    pub(super) fn first(self, order: Order, limit: usize) -> Vec<Connection> {
        let kept = match order {
            Order::Age => {
                let age = |one: &Candidate<'_>| elapsed(one.began, self.now).as_nanos();
                self.keep(self.matching_without_idle().map(|one| (age(&one), one)), limit)
            }
            Order::Idle => {
                self.keep(self.matching().map(|(one, idle)| (idle.as_nanos(), one)), limit)
            }
            Order::Bytes => {
                let bytes = |one: &Candidate<'_>| self.account(one).map_or(0, |one| one.bytes());
                let all = self.matching_without_idle().map(|one| (u128::from(bytes(&one)), one));
                self.keep(all, limit)
            }
        };
        let sorted = kept.into_sorted_vec().into_iter().map(|one| one.candidate);
        sorted.map(|one| self.connection(&one, self.idle(&one.flow))).collect()
    }

    /// Keeps those with the greatest measures, or, if the order is reversed, with the least.
    fn keep(
        self,
        all: impl Iterator<Item = (u128, Candidate<'a>)>,
        limit: usize,
    ) -> BinaryHeap<Ranked<'a>> {
        let mut kept = BinaryHeap::new();
        for (measure, candidate) in all {
            let rank = if self.filter.reverse { u128::MAX - measure } else { measure };
            if kept.len() < limit {
                kept.push(Ranked { rank, candidate });
            } else if let Some(mut last) = kept.peek_mut()
                && last.rank < rank
            {
                *last = Ranked { rank, candidate };
            }
        }
        kept
    }
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.rank.cmp(&self.rank)
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked<'_> {}
