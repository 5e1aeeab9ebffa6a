//! What the program has counted.

use std::collections::HashMap as Counts;

use aya::maps::PerCpuArray;
use lb_common::{
    reason::Reason,
    stats::{Count, Incident, TcpStats, Traffic},
    table::Index,
};
use lb_dataplane::Active;

use super::Object;

impl Object {
    /// Returns the number of frames by the name of their reason.
    #[must_use]
    pub fn reasons(&self) -> Counts<&'static str, u64> {
        let counts: PerCpuArray<_, Count> =
            self.ebpf.map("VERDICTS").expect("named").try_into().expect("typed");
        let total = |reason: &Reason| {
            let values = counts.get(&(*reason as u32), 0).expect("in range");
            values.iter().map(|count| count.packets).sum()
        };
        Reason::ALL.iter().map(|reason| (reason.as_str(), total(reason))).collect()
    }

    #[must_use]
    pub fn incidents(&self, incident: Incident) -> u64 {
        let counts: PerCpuArray<_, u64> =
            self.ebpf.map("INCIDENTS_SEEN").expect("named").try_into().expect("typed");
        counts.get(&(incident as u32), 0).expect("in range").iter().sum()
    }

    #[must_use]
    pub fn traffic(&self, backend: u32) -> Traffic {
        let counts: PerCpuArray<_, Traffic> =
            self.ebpf.map("TRAFFIC").expect("named").try_into().expect("typed");
        let mut total = Traffic::default();
        for value in counts.get(&backend, 0).expect("in range").iter() {
            total += *value;
        }
        total
    }

    /// Returns what a flow's packets have been counted to, by the index of its entry.
    ///
    /// # Panics
    ///
    /// If the object does not count them.
    #[must_use]
    pub fn account(&self, index: u32) -> Count {
        self.flows.accounts().expect("counted").of(Index(index))
    }

    #[must_use]
    pub fn tcp(&self, backend: u32) -> TcpStats {
        self.get("TCP_STATS", backend)
    }

    /// Returns the bytes of the frames that ended for this reason.
    ///
    /// # Panics
    ///
    /// If the map has the wrong type.
    #[must_use]
    pub fn bytes(&self, reason: Reason) -> u64 {
        let counts: PerCpuArray<_, Count> =
            self.ebpf.map("VERDICTS").expect("named").try_into().expect("typed");
        counts.get(&(reason as u32), 0).expect("in range").iter().map(|count| count.bytes).sum()
    }

    /// Returns the program's number of a backend's connections that are not closed.
    #[must_use]
    pub fn active(&self, backend: u32) -> i64 {
        self.counters().counts()[backend as usize]
    }

    /// Falsifies that number by this much.
    pub fn miscount(&mut self, backend: u32, by: i64) {
        let common: i64 = self.get("ACTIVE", backend);
        self.set("ACTIVE", backend, &(common + by));
    }

    pub(super) fn counters(&self) -> Active {
        Active::open(&self.ebpf).expect("maps")
    }
}
