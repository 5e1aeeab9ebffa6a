//! Differences between two readings of the counters.

use std::{collections::HashMap, net::SocketAddr};

use super::{BackendStats, ServiceStats, Stats};

impl Stats {
    /// Returns the counts since an earlier reading. Counters that were reset in the meantime count
    /// from zero.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for view in &mut self.packets {
            let before = earlier.packets.iter().find(|before| before.reason == view.reason);
            let Some(before) = before else { continue };
            view.packets = view.packets.saturating_sub(before.packets);
            view.bytes = view.bytes.saturating_sub(before.bytes);
        }
        let before = earlier.services.iter();
        let before: HashMap<_, _> = before.map(|one| (one.key(one.removed), one)).collect();
        for service in &mut self.services {
            service.subtract(&before);
        }
        self.port_clashes_total =
            self.port_clashes_total.saturating_sub(earlier.port_clashes_total);
        self.early_port_reuses_total =
            self.early_port_reuses_total.saturating_sub(earlier.early_port_reuses_total);
        for view in &mut self.incidents {
            let before = earlier.incidents.iter().find(|before| before.incident == view.incident);
            view.total = view.total.saturating_sub(before.map_or(0, |before| before.total));
        }
        self
    }
}

impl ServiceStats {
    fn key(&self, removed: bool) -> (&str, SocketAddr, bool) {
        (&self.name, self.vip, removed)
    }

    /// One that was removed since then, or added again, was there before.
    fn subtract(&mut self, earlier: &HashMap<(&str, SocketAddr, bool), &Self>) {
        let find = |removed| earlier.get(&self.key(removed));
        let Some(before) = find(self.removed).or_else(|| find(!self.removed)) else { return };
        let before = before.backends.iter();
        let before: HashMap<_, _> =
            before.map(|one| ((one.address, one.is_removed()), one)).collect();
        for backend in &mut self.backends {
            backend.subtract_earlier(&before);
        }
    }
}

impl BackendStats {
    fn is_removed(&self) -> bool {
        self.removed_left.is_some()
    }

    fn subtract_earlier(&mut self, earlier: &HashMap<(SocketAddr, bool), &Self>) {
        let find = |is_removed| earlier.get(&(self.address, is_removed));
        if let Some(before) = find(self.is_removed()).or_else(|| find(false)) {
            self.subtract(before);
        }
    }

    fn subtract(&mut self, before: &Self) {
        self.connections = self.connections.saturating_sub(before.connections);
        self.packets_in = self.packets_in.saturating_sub(before.packets_in);
        self.packets_out = self.packets_out.saturating_sub(before.packets_out);
        self.bytes_in = self.bytes_in.saturating_sub(before.bytes_in);
        self.bytes_out = self.bytes_out.saturating_sub(before.bytes_out);
        self.resets_by_client = self.resets_by_client.saturating_sub(before.resets_by_client);
        self.resets_by_backend = self.resets_by_backend.saturating_sub(before.resets_by_backend);
        self.retransmitted_syns = self.retransmitted_syns.saturating_sub(before.retransmitted_syns);
        self.handshakes.subtract(&before.handshakes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn backend(address: &str, left: Option<u64>, packets_in: u64) -> Value {
        json!({
            "address": address, "removed_left": left, "connections": 0,
            "packets_in": packets_in, "packets_out": 0, "bytes_in": 0, "bytes_out": 0,
        })
    }

    fn service(vip: &str, removed: bool, backends: &[Value]) -> Value {
        json!({ "name": "web", "vip": vip, "removed": removed, "backends": backends })
    }

    fn stats(services: &[Value]) -> Stats {
        let stats = json!({
            "at": "2026-01-02T03:04:05Z", "packets": [], "services": services,
            "port_clashes_total": 0, "early_port_reuses_total": 0, "incidents": [],
        });
        serde_json::from_value(stats).expect("the shape")
    }

    fn packets(stats: &Stats) -> Vec<u64> {
        let backends = stats.services.iter().flat_map(|service| &service.backends);
        backends.map(|backend| backend.packets_in).collect()
    }

    const OLD: &str = "203.0.113.1:80";
    const NEW: &str = "203.0.113.2:80";
    const A: &str = "10.0.0.1:80";
    const B: &str = "10.0.0.2:80";

    #[test]
    fn rates_of_what_was_removed_are_no_totals() {
        let earlier = stats(&[
            service(NEW, false, &[backend(A, None, 10), backend(A, Some(3), 500)]),
            service(OLD, true, &[backend(A, Some(2), 7_000), backend(B, Some(1), 8_000)]),
        ]);
        let later = stats(&[
            service(NEW, false, &[backend(A, None, 11), backend(A, Some(3), 502)]),
            service(OLD, true, &[backend(A, Some(2), 7_003), backend(B, Some(1), 8_004)]),
        ]);
        assert_eq!(packets(&later.since(&earlier)), [1, 2, 3, 4]);
    }

    #[test]
    fn what_is_removed_between_two_readings_has_a_rate() {
        let earlier =
            stats(&[service(OLD, false, &[backend(A, None, 100), backend(B, None, 200)])]);
        let left = [backend(A, Some(1), 101), backend(B, Some(1), 202)];
        for removed in [true, false] {
            let later = stats(&[service(OLD, removed, &left)]);
            assert_eq!(packets(&later.since(&earlier)), [1, 2]);
        }
        let added_again = stats(&[service(OLD, false, &[backend(A, None, 5), left[1].clone()])]);
        let removed = stats(&[service(OLD, true, &left)]);
        assert_eq!(packets(&added_again.since(&removed)), [5, 0], "a new backend counts from 0");
    }
}
