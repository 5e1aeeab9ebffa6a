//! The program's flow table.

use std::{collections::HashMap as Counts, sync::Arc, time::Duration};

use lb_common::{
    backend::Hop,
    flow::{FlowKey, State, flags_seen, ticks},
    table::{Entry as _, Snapshot, Tag, peek, remove},
};
use lb_dataplane::Sweeper;

use super::Object;

impl Object {
    #[must_use]
    pub fn flows(&self) -> Counts<FlowKey, (Tag, Snapshot)> {
        let table = self.flows.table();
        table
            .flows()
            .filter_map(|hit| Some((hit.tag, hit.snapshot(table)?)))
            .map(|entry| (entry.1.key, entry))
            .collect()
    }

    /// Returns the next hop of replies to the client of a flow.
    #[must_use]
    pub fn client_hop(&self, flow: &Snapshot) -> Hop {
        self.flows.client_hops().hop(flow.flow.pair.hop())
    }

    /// Returns the number of flows. Reads the whole table.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows.table().flows().count()
    }

    /// Returns a sweeper of the flow table.
    #[must_use]
    pub fn sweeper(&self) -> Sweeper {
        Sweeper::new(Arc::clone(&self.flows), self.counters())
    }

    /// Returns the flow of packets with this tuple.
    #[must_use]
    pub fn flow(&self, key: &FlowKey) -> Option<Snapshot> {
        let table = self.flows.table();
        peek(table, key)?.snapshot(table)
    }

    /// Returns the tag and the index of the entry of packets with this tuple.
    #[must_use]
    pub fn place(&self, key: &FlowKey) -> Option<(u64, u32)> {
        peek(self.flows.table(), key).map(|hit| (hit.tag.word(), hit.index.0))
    }

    /// Returns the state of the connection of packets with this tuple.
    #[must_use]
    pub fn state(&self, key: &FlowKey) -> Option<State> {
        peek(self.flows.table(), key).map(|hit| hit.state())
    }

    /// Returns the marks of the connection of packets with this tuple, and its number.
    ///
    /// # Panics
    ///
    /// If one of its entries is missing, or they differ.
    #[must_use]
    pub fn progress(&self, key: &FlowKey) -> Option<(u16, u32)> {
        let table = self.flows.table();
        let flow = peek(table, key)?;
        let partner = peek(table, &flow.partner_key(table)).expect("a partner");
        let seen = flow.tag.flags_seen();
        assert_eq!(
            seen | flags_seen::TO_CLIENT,
            partner.tag.flags_seen(),
            "both entries carry the same"
        );
        Some((seen, partner.entry.extra()))
    }

    /// Makes all connections idle for this much longer.
    pub fn pass_time(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("short");
        for hit in self.flows.table().flows() {
            hit.entry.set_last_seen(hit.entry.last_seen().wrapping_sub(ticks::from_nanos(nanos)));
        }
    }

    /// Evicts the connection of a client's packets with this tuple, unless another CPU is changing it.
    pub fn evict(&self, key: &FlowKey) {
        let table = self.flows.table();
        if let Some(hit) = peek(table, key) {
            remove(table, hit.index, hit.tag, hit.tag.freed(), lb_dataplane::now());
        }
    }

    /// Removes both entries of the connection of a client's packets with this tuple.
    pub fn remove_connection(&mut self, key: &FlowKey) {
        let table = self.flows.table();
        let hit = peek(table, key).expect("known");
        assert!(remove(table, hit.index, hit.tag, hit.tag.freed(), 0), "nobody else is there");
    }

    /// Completes every connection's handshake.
    pub fn establish_all(&mut self) {
        for hit in self.flows.table().flows() {
            let seen = hit.tag.flags_seen() | flags_seen::SHAKEN | flags_seen::PROVEN;
            assert_eq!(hit.entry.exchange(hit.tag, hit.tag.with_flags_seen(seen)), hit.tag);
        }
    }

    /// Removes one entry, and keeps the other one.
    pub fn remove_flow(&mut self, key: &FlowKey) {
        let hit = peek(self.flows.table(), key).expect("known");
        assert_eq!(hit.entry.exchange(hit.tag, hit.tag.freed()), hit.tag);
    }
}
