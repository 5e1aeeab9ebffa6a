//! Marks of buckets that were full once: a lookup that misses continues with the next choice of
//! such a bucket, until no flow can be there any more.

use std::collections::HashSet;

use lb_common::table::{Bucket as _, CHOICES, Hit, Line as _, SharedLine, SharedTable, Table as _};

/// Buckets whose mark may be removed at the end of this sweep.
///
/// One sweep marks them as fading. A CPU that placed a flow elsewhere before that has long
/// finished, and this sweep sees the flow; a CPU that does so afterwards removes the fading mark.
pub(super) struct Recovering<'a> {
    table: SharedTable<'a>,
    candidates: HashSet<u32>,
}

impl<'a> Recovering<'a> {
    /// Starts a sweep.
    pub(super) fn begin(table: SharedTable<'a>) -> Self {
        let mut candidates = HashSet::new();
        for index in 0..table.buckets() {
            let Some(bucket) = table.bucket(index) else { continue };
            let first = bucket.line(0);
            let tag = first.tag();
            if tag.is_fading() {
                candidates.insert(index);
            } else if tag.is_overflowed() && !tag.is_claimed() {
                // If the tag has changed, the next sweep tries again.
                first.exchange(tag, tag.fading());
            }
        }
        Self { table, candidates }
    }

    /// Keeps the marks of the buckets before the one of this flow.
    pub(super) fn see(&mut self, flow: Hit<&SharedLine>) {
        if self.candidates.is_empty() {
            return;
        }
        let hash = self.table.seed().hash(&flow.line.key());
        for choice in 0..CHOICES {
            let index = hash.bucket(choice, self.table.buckets());
            if index == flow.place.bucket() {
                return;
            }
            self.candidates.remove(&index);
        }
    }

    /// Ends the sweep and removes the marks.
    pub(super) fn finish(self) {
        for index in self.candidates {
            let Some(bucket) = self.table.bucket(index) else { continue };
            let first = bucket.line(0);
            let tag = first.tag();
            if tag.is_fading() && !tag.is_claimed() {
                first.exchange(tag, tag.recovered());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        backend::Hop,
        flow::{FlowKey, marks},
        table::{Opening, Seed, SharedBucket, find, open, remove},
    };

    use super::*;

    const SEED: Seed = Seed([3, 5, 7, 11]);
    const CLIENTS: u16 = 160;
    const MARKS: u16 = marks::SHAKEN | marks::PROVEN;

    fn key(client: u16) -> FlowKey {
        FlowKey::tcp([192, 0, 2, 1], client.to_be_bytes(), [203, 0, 113, 10], [0, 80])
    }

    fn connect(table: SharedTable<'_>, client: u16) {
        let inside = &key(client);
        let outside = FlowKey::tcp([10, 0, 0, 1], client.to_be_bytes(), [10, 0, 0, 11], [0, 80]);
        let (client, marks) = (Hop::default(), MARKS);
        let opening = Opening { inside, client, backend: 1, marks, number: 0, now: 0 };
        open(table, &opening, &outside).expect("room");
    }

    fn disconnect(table: SharedTable<'_>, client: u16) {
        let hit = find(table, &key(client)).expect("idle").expect("known");
        assert!(remove(table, hit.place, hit.tag, hit.tag.freed(), 0));
    }

    fn overflowed(table: SharedTable<'_>) -> usize {
        let first = |index| table.bucket(index).expect("in range").line(0).tag();
        (0..table.buckets()).filter(|index| first(*index).is_overflowed()).count()
    }

    fn sweep(table: SharedTable<'_>) {
        let mut recovering = Recovering::begin(table);
        for flow in table.flows() {
            recovering.see(flow);
        }
        recovering.finish();
    }

    fn full() -> Vec<SharedBucket> {
        let buckets: Vec<_> = (0..64).map(|_| SharedBucket::default()).collect();
        let table = SharedTable { buckets: &buckets, seed: SEED };
        (0..CLIENTS).for_each(|client| connect(table, client));
        assert!(overflowed(table) > 0);
        buckets
    }

    #[test]
    fn an_empty_bucket_recovers_with_the_second_sweep() {
        let buckets = full();
        let table = SharedTable { buckets: &buckets, seed: SEED };
        (0..CLIENTS).for_each(|client| disconnect(table, client));
        sweep(table);
        assert!(overflowed(table) > 0);
        sweep(table);
        assert_eq!(overflowed(table), 0);
    }

    #[test]
    fn no_flow_is_ever_lost() {
        let buckets = full();
        let table = SharedTable { buckets: &buckets, seed: SEED };
        for round in 0..CLIENTS / 5 {
            (round * 5..round * 5 + 5).for_each(|client| disconnect(table, client));
            sweep(table);
            for client in round * 5 + 5..CLIENTS {
                assert!(find(table, &key(client)).expect("idle").is_some(), "{client}");
            }
        }
    }

    #[test]
    fn a_flow_that_goes_on_meanwhile_keeps_the_mark() {
        let buckets = full();
        let table = SharedTable { buckets: &buckets, seed: SEED };
        sweep(table);
        let mut recovering = Recovering::begin(table);
        table.flows().for_each(|flow| recovering.see(flow));
        (CLIENTS..CLIENTS + 20).for_each(|client| connect(table, client));
        recovering.finish();
        for client in 0..CLIENTS + 20 {
            assert!(find(table, &key(client)).expect("idle").is_some(), "{client}");
        }
    }
}
