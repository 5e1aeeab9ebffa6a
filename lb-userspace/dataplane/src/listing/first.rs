//! The first connections in some order.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

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
                let age = |one: &Candidate<'_>| elapsed(one.began, self.now);
                self.keep(self.matching_without_idle().map(|one| (age(&one), one)), limit)
            }
            Order::Idle => self.keep(self.matching().map(|(one, idle)| (idle, one)), limit),
        };
        let sorted = kept.into_sorted_vec().into_iter().map(|one| one.candidate);
        sorted.map(|one| self.connection(&one, self.idle(&one.flow))).collect()
    }

    /// Keeps those with the longest times, or, if the order is reversed, with the shortest.
    fn keep(
        self,
        all: impl Iterator<Item = (Duration, Candidate<'a>)>,
        limit: usize,
    ) -> BinaryHeap<Ranked<'a>> {
        let mut kept = BinaryHeap::new();
        for (time, candidate) in all {
            let nanos = time.as_nanos();
            let rank = if self.filter.reverse { u128::MAX - nanos } else { nanos };
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
