//! Metrics of services and backends.

use std::{fmt, ops::RangeInclusive, time::Duration};

use lb_health::{BOUNDS, Tally as Checks};
use lb_model::{
    Admin, Health,
    views::{BackendStats, BackendView, Handshakes},
};

use super::{
    Kind, Metric,
    samples::{Label, Samples},
};
use crate::overview::{OfService, Overview};

const SERVICE: &[&str] = &["service"];
const BACKEND: &[&str] = &["service", "backend"];

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "service_connections",
        kind: Kind::Counter,
        help: "Connections that were opened to the service.",
        labels: SERVICE,
        write: |of, to| each(of, |one, label| to.counter(label, one.total.connections)),
    },
    Metric {
        name: "service_active_connections",
        kind: Kind::Gauge,
        help: "Connections to the service that are not closed.",
        labels: SERVICE,
        write: |of, to| {
            each(of, |one, label| {
                let backends = one.view.backends.iter();
                to.count(label, backends.map(|backend| backend.active_connections).sum())
            })
        },
    },
    Metric {
        name: "service_packets",
        kind: Kind::Counter,
        help: "IP packets of the service: in from clients, out to clients.",
        labels: &["service", "direction"],
        write: |of, to| {
            each(of, |one, [service]| {
                to.counter(&[*service, IN], one.total.inbound.packets)?;
                to.counter(&[*service, OUT], one.total.outbound.packets)
            })
        },
    },
    Metric {
        name: "service_bytes",
        kind: Kind::Counter,
        help: "Bytes of IP packets of the service: in from clients, out to clients.",
        labels: &["service", "direction"],
        write: |of, to| {
            each(of, |one, [service]| {
                to.counter(&[*service, IN], one.total.inbound.bytes)?;
                to.counter(&[*service, OUT], one.total.outbound.bytes)
            })
        },
    },
    Metric {
        name: "service_backends_in_use",
        kind: Kind::Gauge,
        help: "Backends that take new connections of the service.",
        labels: SERVICE,
        write: |of, to| {
            each(of, |one, label| {
                let in_use = one.view.backends.iter().filter(|backend| backend.in_ring).count();
                to.count(label, in_use as u64)
            })
        },
    },
    Metric {
        name: "ring_changes",
        kind: Kind::Counter,
        help: "Changes of the backends, or their weights, that take a service's new connections.",
        labels: &[],
        write: |of, to| to.counter(&[], of.tally.ring_changes),
    },
    Metric {
        name: "health_changes",
        kind: Kind::Counter,
        help: "Changes of the health of backends.",
        labels: &[],
        write: |of, to| to.counter(&[], of.tally.health_changes),
    },
    Metric {
        name: "health_checks",
        kind: Kind::Counter,
        help: "Health checks of the service's backends, by result; error: the check could not run.",
        labels: &["service", "result"],
        write: |of, to| {
            each(of, |one, [service]| {
                let Checks { passed, failed, unable, .. } = one.checks;
                to.counter(&[*service, ("result", "passed")], passed)?;
                to.counter(&[*service, ("result", "failed")], failed)?;
                to.counter(&[*service, ("result", "error")], unable)
            })
        },
    },
    Metric {
        name: "health_check_duration_seconds",
        kind: Kind::Histogram,
        help: "Duration of health checks of the service's backends.",
        labels: SERVICE,
        write: |of, to| {
            each(of, |one, label| {
                let Checks { buckets, duration, .. } = one.checks;
                let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(buckets).collect();
                to.histogram(label, duration.as_secs_f64(), &buckets)
            })
        },
    },
    Metric {
        name: "backend_up",
        kind: Kind::Gauge,
        help: "1 if the backend is up, as its health checks say.",
        labels: BACKEND,
        write: |of, to| backends(of, to, |to, label, of| to.flag(label, of.health == Health::Up)),
    },
    Metric {
        name: "backend_state",
        kind: Kind::Gauge,
        help: "1 for the administrative state that the backend is in.",
        labels: &["service", "backend", "state"],
        write: |of, to| {
            backends(of, to, |to, [service, backend], of| {
                STATES.into_iter().try_for_each(|(state, name)| {
                    to.flag(&[*service, *backend, ("state", name)], of.admin == state)
                })
            })
        },
    },
    Metric {
        name: "backend_in_use",
        kind: Kind::Gauge,
        help: "1 if the backend takes new connections.",
        labels: BACKEND,
        write: |of, to| backends(of, to, |to, label, of| to.flag(label, of.in_ring)),
    },
    Metric {
        name: "backend_refusing",
        kind: Kind::Gauge,
        help: "1 if the backend refuses connections and is skipped.",
        labels: BACKEND,
        write: |of, to| backends(of, to, |to, label, of| to.flag(label, of.refusing)),
    },
    Metric {
        name: "backend_weight",
        kind: Kind::Gauge,
        help: "Effective weight of the backend: reduced in a slow start, 0 if it takes no new connections.",
        labels: BACKEND,
        write: |of, to| backends(of, to, |to, label, of| to.gauge(label, of.effective_weight)),
    },
    Metric {
        name: "backend_health_changed_timestamp_seconds",
        kind: Kind::Gauge,
        help: "Last change of the backend's health, in seconds since 1970.",
        labels: BACKEND,
        write: |of, to| {
            backends(of, to, |to, label, of| to.gauge(label, of.since.as_duration().as_secs_f64()))
        },
    },
    Metric {
        name: "backend_active_connections",
        kind: Kind::Gauge,
        help: "Connections to the backend that are not closed.",
        labels: BACKEND,
        write: |of, to| backends(of, to, |to, label, of| to.count(label, of.active_connections)),
    },
    Metric {
        name: "backend_source_ports",
        kind: Kind::Gauge,
        help: "Pairs of source address and port that connections to the backend can have, in use or not: the most \
               that it can have at once.",
        labels: BACKEND,
        write: |of, to| {
            of.services.iter().try_for_each(|one| {
                let mut ports = one.addresses.iter().zip(&one.source_ports);
                ports.try_for_each(|(address, ports)| to.count(&labels(one, address), *ports))
            })
        },
    },
    Metric {
        name: "backend_connections",
        kind: Kind::Counter,
        help: "Connections that were opened to the backend.",
        labels: BACKEND,
        write: |of, to| traffic(of, to, |to, label, of| to.counter(label, of.connections)),
    },
    Metric {
        name: "backend_packets",
        kind: Kind::Counter,
        help: "IP packets of the backend: in from clients, out to clients.",
        labels: &["service", "backend", "direction"],
        write: |of, to| {
            traffic(of, to, |to, [service, backend], of| {
                to.counter(&[*service, *backend, IN], of.packets_in)?;
                to.counter(&[*service, *backend, OUT], of.packets_out)
            })
        },
    },
    Metric {
        name: "backend_bytes",
        kind: Kind::Counter,
        help: "Bytes of IP packets of the backend: in from clients, out to clients.",
        labels: &["service", "backend", "direction"],
        write: |of, to| {
            traffic(of, to, |to, [service, backend], of| {
                to.counter(&[*service, *backend, IN], of.bytes_in)?;
                to.counter(&[*service, *backend, OUT], of.bytes_out)
            })
        },
    },
    Metric {
        name: "backend_resets",
        kind: Kind::Counter,
        help: "Connections to the backend that were reset, by the side that did; refusals are resets by the \
               backend.",
        labels: &["service", "backend", "side"],
        write: |of, to| {
            traffic(of, to, |to, [service, backend], of| {
                to.counter(&[*service, *backend, ("side", "client")], of.resets_by_client)?;
                to.counter(&[*service, *backend, ("side", "backend")], of.resets_by_backend)
            })
        },
    },
    Metric {
        name: "backend_retransmitted_syns",
        kind: Kind::Counter,
        help: "SYNs to the backend that clients sent again before the handshake had ended.",
        labels: BACKEND,
        write: |of, to| traffic(of, to, |to, label, of| to.counter(label, of.retransmitted_syns)),
    },
    Metric {
        name: "backend_handshake_duration_seconds",
        kind: Kind::Histogram,
        help: "Time from a client's first SYN to the backend's SYN-ACK, of one in 16 connections; absent before \
               the first of the service.",
        labels: BACKEND,
        write: |of, to| {
            let is_measured = |one: &&OfService| {
                one.stats.backends.iter().any(|backend| backend.handshakes.samples > 0)
            };
            of.services.iter().filter(is_measured).try_for_each(|one| {
                present(one).try_for_each(|(address, backend)| {
                    let Handshakes { total_us, buckets, .. } = &backend.handshakes;
                    let sum = Duration::from_micros(*total_us).as_secs_f64();
                    to.histogram(&labels(one, address), sum, &latencies(buckets))
                })
            })
        },
    },
];

/// Places of the first bucket, of up to 16 µs, and the last one with a bound, of up to 4.2 s.
const LATENCIES: RangeInclusive<usize> = 4..=22;

/// Returns every second bound of latency, in seconds, with the number of handshakes up to it.
fn latencies(buckets: &[u64]) -> Vec<(f64, u64)> {
    let mut left = buckets.iter();
    let bounded = LATENCIES.step_by(2).scan(0, |taken, place| {
        let count = left.by_ref().take(place + 1 - *taken).sum();
        *taken = place + 1;
        Some((Duration::from_micros(1 << place).as_secs_f64(), count))
    });
    let mut latencies: Vec<_> = bounded.collect();
    latencies.push((f64::INFINITY, left.sum()));
    latencies
}

const STATES: [(Admin, &str); 3] =
    [(Admin::Enabled, "enabled"), (Admin::Draining, "draining"), (Admin::Disabled, "disabled")];

const IN: Label<'static> = ("direction", "in");
const OUT: Label<'static> = ("direction", "out");

fn each(
    of: &Overview,
    mut write: impl FnMut(&OfService, &[Label<'_>; 1]) -> fmt::Result,
) -> fmt::Result {
    of.services.iter().try_for_each(|one| write(one, &[("service", &one.view.name)]))
}

fn labels<'a>(of: &'a OfService, backend: &'a str) -> [Label<'a>; 2] {
    [("service", &of.view.name), ("backend", backend)]
}

fn backends(
    of: &Overview,
    to: &mut Samples<'_>,
    write: impl Fn(&mut Samples<'_>, &[Label<'_>; 2], &BackendView) -> fmt::Result,
) -> fmt::Result {
    of.services.iter().try_for_each(|one| {
        let mut backends = one.view.backends.iter().zip(&one.addresses);
        backends.try_for_each(|(backend, address)| write(to, &labels(one, address), backend))
    })
}

fn traffic(
    of: &Overview,
    to: &mut Samples<'_>,
    write: impl Fn(&mut Samples<'_>, &[Label<'_>; 2], &BackendStats) -> fmt::Result,
) -> fmt::Result {
    of.services.iter().try_for_each(|one| {
        present(one).try_for_each(|(address, backend)| write(to, &labels(one, address), backend))
    })
}

/// Returns the addresses of a service's backends, and their counters: without removed ones, which follow the
/// others.
fn present(of: &OfService) -> impl Iterator<Item = (&str, &BackendStats)> {
    let counted = of.stats.backends.iter().filter(|one| one.removed_left.is_none());
    of.addresses.iter().map(String::as_str).zip(counted)
}
