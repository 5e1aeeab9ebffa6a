//! The first connections in some order.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

use lb_model::connections::{Connection, Order};

use super::{Candidate, Search, elapsed};

/// A connection and its place: those of the least rank are the greatest, so that a heap gives them up
/// first.
struct Ranked<'a> {
    rank: u128,
    candidate: Candidate<'a>,
    idle: Duration,
}

impl Search<'_> {
    /// See [`Listing::first`](super::Listing::first).
    pub(super) fn first(self, order: Order, limit: usize) -> Vec<Connection> {
        let mut kept = BinaryHeap::new();
        for (candidate, idle) in self.matching() {
            let time = match order {
                Order::Age => elapsed(candidate.began, self.now),
                Order::Idle => idle,
            };
            let nanos = time.as_nanos();
            let rank = if self.filter.reverse { u128::MAX - nanos } else { nanos };
            if kept.len() < limit {
                kept.push(Ranked { rank, candidate, idle });
            } else if let Some(mut last) = kept.peek_mut()
                && last.rank < rank
            {
                *last = Ranked { rank, candidate, idle };
            }
        }
        let sorted = kept.into_sorted_vec().into_iter();
        sorted.map(|one| self.connection(&one.candidate, one.idle)).collect()
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
