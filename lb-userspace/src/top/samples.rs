//! Readings for tests.

use std::time::{Duration, Instant};

use lb_model::{
    connections::{Account, Connection},
    views::{BackendView, ServiceView},
};
use serde_json::{Value, json};

use super::{
    keys::Command,
    poll::{Connections, Reading},
    state::{Next, State},
};

/// A backend with this last number of its address, this health and this many connections so far.
pub(super) fn backend(last: u8, health: &str, total: u64) -> BackendView {
    let view = json!({
        "address": format!("10.0.0.{last}:80"), "weight": 4, "backup": false, "admin": "enabled",
        "health": health, "since": "2026-01-02T03:04:05Z", "detail": "not checked yet",
        "in_ring": health == "up", "effective_weight": 4.0, "active_connections": u64::from(last),
        "connections_total": total, "packets_total": 10 * total, "bytes_total": 1_000 * total,
    });
    serde_json::from_value(view).expect("a backend")
}

pub(super) fn service(name: &str, backends: Vec<BackendView>) -> ServiceView {
    ServiceView {
        name: name.to_owned(),
        vip: "203.0.113.10:80".parse().expect("an address"),
        protocol: lb_model::Protocol::Tcp,
        policy: lb_model::Policy::default(),
        origins: [].into(),
        warnings: Vec::new(),
        steps: Vec::new(),
        backends,
    }
}

/// A reading this long after the first.
pub(super) fn reading(services: Vec<ServiceView>, after: Duration, first: Instant) -> Reading {
    let packets = 100 * after.as_secs();
    let balancer = json!({
        "version": "1.2.3", "pid": 7, "started": "2026-01-02T03:04:05Z", "config": "lb.toml",
        "interfaces": [], "services": services.len(), "backends_up": 3, "backends_in_use": 3,
        "backends_total": 4, "warnings": ["the disk is full"], "flows": {
            "capacity": 1_000, "bytes": 96_000, "entries": 125, "active": 105, "half_open": 5, "answered": 0,
            "established": 100, "closing": 0, "closed": 20, "cooling_ports": 0,
        },
    });
    let of_services: Vec<_> = services.iter().map(counters_of).collect();
    let counters = json!({
        "at": "2026-01-02T03:04:05Z", "services": of_services, "incidents": [], "port_clashes_total": 0,
        "early_port_reuses_total": 0, "packets": [
            { "verdict": "tx", "reason": "forwarded", "packets": packets, "bytes": 0 },
            { "verdict": "drop", "reason": "martian_source", "packets": 7, "bytes": 0 },
        ],
    });
    Reading {
        at: first + after,
        status: of(balancer),
        services,
        stats: of(counters),
        connections: None,
    }
}

fn counters_of(service: &ServiceView) -> Value {
    let backends = service.backends.iter().map(|one| {
        json!({
            "address": one.address, "connections": one.connections_total,
            "packets_in": one.packets_total, "packets_out": 0,
            "bytes_in": 0, "bytes_out": one.bytes_total,
            "resets_by_client": 3, "resets_by_backend": 4, "retransmitted_syns": 12, "handshakes": {
                "samples": one.connections_total, "total_us": 100 * one.connections_total,
                "buckets": [0, 0, 0, 0, 0, 0, 0, one.connections_total],
            },
        })
    });
    let backends: Vec<_> = backends.collect();
    json!({ "name": service.name, "vip": service.vip, "backends": backends })
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the shape")
}

pub(super) fn connection(port: u16, idle: f64) -> Connection {
    of(json!({
        "service": "web", "client": format!("198.51.100.1:{port}"), "vip": "203.0.113.10:80",
        "source": format!("10.0.0.1:{port}"), "backend": "10.0.0.12:80", "state": "established",
        "age_seconds": 100.0, "idle_seconds": idle,
    }))
}

/// One with this many bytes, in either direction.
pub(super) fn accounted(port: u16, bytes: u64) -> Connection {
    let account = Account { packets_in: 2, packets_out: 3, bytes_in: 1, bytes_out: bytes - 1 };
    Connection { account: Some(account), ..connection(port, 1.0) }
}

/// Two services, ten seconds after their first reading, with rates.
pub(super) fn state() -> State {
    let services = |total| {
        let web = service("web", vec![backend(12, "up", total), backend(2, "down", 0)]);
        vec![web, service("api", vec![backend(20, "up", 2 * total)])]
    };
    let first = Instant::now();
    let mut state =
        State::new(reading(services(100), Duration::ZERO, first), Duration::from_secs(1));
    state.take(Ok(reading(services(200), Duration::from_secs(10), first)));
    state
}

/// Obeys commands, and gives the state the connections that it wants.
pub(super) fn obey(state: &mut State, commands: &[Command]) {
    let list = [(3, 5.0), (1, 0.5), (2, 70.0)].map(|(port, idle)| connection(port, idle));
    for command in commands {
        assert_eq!(state.obey(*command), Next::GoOn);
        list_connections(state, list.to_vec());
    }
}

/// Gives the state these connections, if it wants any.
pub(super) fn list_connections(state: &mut State, list: Vec<Connection>) {
    let Some(filter) = state.wanted().connections else { return };
    let connections = Some(Connections { filter, list });
    state.take(Ok(Reading { connections, ..state.reading.clone() }));
}
