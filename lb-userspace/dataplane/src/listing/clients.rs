//! The clients with the most connections.

use std::{cmp::Reverse, collections::BTreeSet};

use lb_model::connections::{ClientCount, Clients};

use super::Search;

impl Search<'_> {
    /// See [`Listing::clients`](super::Listing::clients).
    pub(super) fn clients(self, limit: usize) -> Clients {
        // Sorted addresses take a fraction of the memory of a map.
        let mut addresses: Vec<_> =
            self.matching_without_idle().map(|candidate| candidate.flow.key.src()).collect();
        addresses.sort_unstable();
        let runs = || addresses.chunk_by(|one, other| one == other);
        let mut busiest = BTreeSet::new();
        for run in runs() {
            busiest.insert((Reverse(run.len()), run[0]));
            if busiest.len() > limit {
                busiest.pop_last();
            }
        }
        let count = |number: usize| number as u64;
        Clients {
            clients: count(runs().count()),
            connections: count(addresses.len()),
            busiest: busiest
                .into_iter()
                .map(|(Reverse(connections), client)| ClientCount {
                    client: client.into(),
                    connections: count(connections),
                })
                .collect(),
        }
    }
}
