//! Faults that traffic shows.

use lb_common::{reason::Reason, stats::Incident};

use crate::{
    check::{Check, Find},
    facts::Running,
    report::{Cases, Severity},
};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        id: "flow-table-full",
        severity: Severity::Warning,
        meaning: "The flow table is more than 80 % full.",
        find: Find::InRunning(table_full),
    },
    Check {
        id: "connections-evicted",
        severity: Severity::Problem,
        meaning: "Established connections are removed now, to make room for others.",
        find: Find::InRunning(evicted),
    },
    Check {
        id: "packets-lost",
        severity: Severity::Problem,
        meaning: "Packets are dropped now for a reason that the configuration can remove.",
        find: Find::InRunning(lost),
    },
];

/// Reasons of drops that the configuration can remove, with what is wrong and the fix.
const AVOIDABLE: [(Reason, &str, &str); 6] = [
    (Reason::TableFull, "the flow table has no room", "raise limits.flows, and restart the daemon"),
    (
        Reason::ClientHopsFull,
        "there are more next hops to clients than fit",
        "put a router between clients and balancer: `ip neigh show` lists the next hops",
    ),
    (Reason::PortsExhausted, "no source port is free", "add addresses to snat_addresses"),
    (
        Reason::Unreachable,
        "a backend has no source address or no next hop",
        "`xdplb status` names it: give its interface an address, or add a route",
    ),
    (
        Reason::NoEgress,
        "they would leave by an interface that is not configured",
        "add it to `interfaces`: `ip route get CLIENT` names it",
    ),
    (
        Reason::WrongInterface,
        "packets of backends come in on another interface than that of the route to them",
        "`ip route get BACKEND` names that one: make both directions use it",
    ),
];

fn table_full(running: &Running, cases: &mut Cases<'_>) {
    let flows = running.status.flows;
    if flows.entries > flows.capacity / 10 * 8 {
        let percent = flows.entries * 100 / flows.capacity.max(1);
        let message = format!("it is {percent} % full: then connections are removed early");
        cases.add("flow table", message, more_room(flows.capacity));
    }
}

/// Returns the fix of a table that is too small.
fn more_room(flows: u64) -> String {
    let most = u64::from(lb_config::MOST_FLOWS);
    if flows >= most {
        return "shorten `timeouts.established`: limits.flows has its highest value".to_owned();
    }
    format!("limits.flows = {}, and restart the daemon", (flows * 2).min(most))
}

fn evicted(running: &Running, cases: &mut Cases<'_>) {
    let name = Incident::EvictedEstablished.as_str();
    let mut incidents = running.rates.incidents.iter();
    if let Some(evicted) = incidents.find(|one| one.incident == name && one.total > 0) {
        let message = format!("{} established connections were removed in a second", evicted.total);
        let room = more_room(running.status.flows.capacity);
        let fix = format!("{room}; or add addresses to snat_addresses");
        cases.add("flow table", message, fix);
    }
}

fn lost(running: &Running, cases: &mut Cases<'_>) {
    for (reason, message, fix) in AVOIDABLE {
        let count = running.rates.packets.iter().filter(|one| one.reason == reason.as_str());
        let count: u64 = count.map(|one| one.packets).sum();
        if count > 0 {
            cases.add(
                reason.as_str(),
                format!("{count} packets were dropped in a second: {message}"),
                fix,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use lb_model::views::{IncidentView, VerdictView};

    use super::*;
    use crate::{checks::made, report::found};

    #[test]
    fn a_table_is_full_before_it_overflows() {
        let mut running = made::running();
        (running.status.flows.capacity, running.status.flows.entries) = (100_000, 80_000);
        assert!(found(&running, table_full).is_empty());
        running.status.flows.entries = 80_001;
        let fix = |running: &Running| found(running, table_full)[0].fix.clone();
        assert_eq!(fix(&running), "limits.flows = 200000, and restart the daemon");
        (running.status.flows.capacity, running.status.flows.entries) = (10_000_000, 10_000_000);
        assert_eq!(fix(&running), "limits.flows = 16000000, and restart the daemon");
        (running.status.flows.capacity, running.status.flows.entries) = (16_000_000, 16_000_000);
        assert!(fix(&running).starts_with("shorten `timeouts.established`"));
    }

    #[test]
    fn evictions_and_avoidable_drops_of_this_moment_count() {
        let mut running = made::running();
        running.rates.incidents =
            vec![IncidentView { incident: "evicted_established".to_owned(), total: 0 }];
        let drop = |reason: &str, packets| VerdictView {
            verdict: "drop".to_owned(),
            reason: reason.to_owned(),
            packets,
            bytes: 0,
        };
        running.rates.packets = vec![drop("no_egress", 0), drop("bad_flags", 9)];
        assert!(found(&running, evicted).is_empty() && found(&running, lost).is_empty());
        running.rates.incidents[0].total = 2;
        running.rates.packets.push(drop("ports_exhausted", 3));
        assert_eq!(found(&running, evicted).len(), 1);
        let found = found(&running, lost);
        assert_eq!((found.len(), &*found[0].fix), (1, "add addresses to snat_addresses"));
    }
}
