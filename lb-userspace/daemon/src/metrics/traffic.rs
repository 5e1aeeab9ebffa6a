//! Metrics of packets and of the flow table.

use super::{Kind, Metric};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "packets",
        kind: Kind::Counter,
        help: "Frames, by verdict and reason.",
        labels: &["verdict", "reason"],
        write: |of, to| {
            of.stats.packets.iter().try_for_each(|one| {
                to.counter(&[("verdict", &one.verdict), ("reason", &one.reason)], one.packets)
            })
        },
    },
    Metric {
        name: "bytes",
        kind: Kind::Counter,
        help: "Bytes of frames, by verdict and reason.",
        labels: &["verdict", "reason"],
        write: |of, to| {
            of.stats.packets.iter().try_for_each(|one| {
                to.counter(&[("verdict", &one.verdict), ("reason", &one.reason)], one.bytes)
            })
        },
    },
    Metric {
        name: "incidents",
        kind: Kind::Counter,
        help: "Events that do not decide what happens to a frame.",
        labels: &["incident"],
        write: |of, to| {
            of.stats
                .incidents
                .iter()
                .try_for_each(|one| to.counter(&[("incident", &one.incident)], one.total))
        },
    },
    Metric {
        name: "flow_table_entries",
        kind: Kind::Gauge,
        help: "Usage of the flow table, in connections; a cooling source port counts as one half.",
        labels: &[],
        write: |of, to| to.count(&[], of.status.flows.entries),
    },
    Metric {
        name: "flow_table_capacity",
        kind: Kind::Gauge,
        help: "Size of the flow table, in connections.",
        labels: &[],
        write: |of, to| to.count(&[], of.status.flows.capacity),
    },
    Metric {
        name: "flow_table_bytes",
        kind: Kind::Gauge,
        help: "Memory of the flow table, and of the accounts of its flows.",
        labels: &[],
        write: |of, to| to.count(&[], of.status.flows.bytes),
    },
    Metric {
        name: "connections",
        kind: Kind::Gauge,
        help: "Connections, by state.",
        labels: &["state"],
        write: |of, to| {
            let flows = &of.status.flows;
            [
                ("half_open", flows.half_open),
                ("answered", flows.answered),
                ("established", flows.established),
                ("closing", flows.closing),
                ("closed", flows.closed),
            ]
            .into_iter()
            .try_for_each(|(state, count)| to.count(&[("state", state)], count))
        },
    },
    Metric {
        name: "cooling_source_ports",
        kind: Kind::Gauge,
        help: "Source ports that rest after the end of their connection.",
        labels: &[],
        write: |of, to| to.count(&[], of.status.flows.cooling_ports),
    },
    Metric {
        name: "expired_connections",
        kind: Kind::Counter,
        help: "Connections that were removed after their time-out.",
        labels: &[],
        write: |of, to| to.counter(&[], of.tally.expired),
    },
    Metric {
        name: "flow_table_sweeps",
        kind: Kind::Counter,
        help: "Sweeps of the flow table.",
        labels: &[],
        write: |of, to| to.counter(&[], of.tally.sweeps),
    },
    Metric {
        name: "flow_table_sweep_seconds",
        kind: Kind::Counter,
        help: "Time that sweeps of the flow table have taken.",
        labels: &[],
        write: |of, to| to.counter(&[], of.tally.sweeping.as_secs_f64()),
    },
];
