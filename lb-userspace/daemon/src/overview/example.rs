//! An overview for tests.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use jiff::Timestamp;
use lb_common::stats::Traffic;
use lb_config::desired::JournalSize;
use lb_dataplane::Runs;
use lb_health::Tally as Checks;
use lb_model::{
    Admin, Health, Policy, Protocol, Role, XdpMode,
    views::{
        BackendStats, BackendView, FlowsView, GroupView, Handshakes, ServiceStats, ServiceView,
        Stats, Status, VerdictView,
    },
};

use super::{OfService, Overview};
use crate::{connection_log::Summary, tally::Tally};

fn group() -> GroupView {
    GroupView {
        name: "web".to_owned(),
        role: Role::Active,
        epoch: 3,
        lease_ms: 800,
        vips: Vec::new(),
        snat_addresses: Vec::new(),
    }
}

/// Returns one of a service with a backend, and another one that was removed.
pub(crate) fn overview() -> Overview {
    let address = "10.0.0.11:80".parse().expect("an address");
    let vip = "203.0.113.10:80".parse().expect("an address");
    let backend = BackendView {
        address,
        weight: 5,
        backup: false,
        origin: None,
        admin: Admin::Enabled,
        drain_until: None,
        health: Health::Up,
        since: Timestamp::UNIX_EPOCH,
        detail: "L4OK".to_owned(),
        last_check: None,
        unusable: None,
        in_ring: true,
        effective_weight: 2.5,
        slow_start: None,
        refusing: false,
        active_connections: 1,
        connections_total: 2,
        packets_total: 7,
        bytes_total: 9,
    };
    let of_backend = counted(address);
    let removed = BackendStats { removed_left: Some(1), connections: 10, ..of_backend.clone() };
    let mut buckets = [0; 11];
    (buckets[0], buckets[10]) = (3, 1);
    let web = OfService {
        view: ServiceView {
            name: "web\"\n".to_owned(),
            vip,
            protocol: Protocol::Tcp,
            policy: Policy::default(),
            origins: BTreeMap::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            backends: vec![backend],
        },
        addresses: vec![address.to_string()],
        stats: ServiceStats {
            name: "web".to_owned(),
            vip,
            removed: false,
            backends: vec![of_backend, removed],
        },
        total: Traffic { connections: 112, ..Traffic::default() },
        checks: Checks {
            passed: 4,
            buckets,
            duration: Duration::from_millis(6_500),
            ..Checks::default()
        },
        source_ports: vec![1_000],
    };
    Overview {
        status: Status {
            version: "1.2.3".to_owned(),
            pid: 1,
            started: Timestamp::UNIX_EPOCH,
            config: "lb.toml".to_owned(),
            http: None,
            interfaces: Vec::new(),
            groups: vec![group()],
            flows: FlowsView::default(),
            services: 1,
            backends_up: 1,
            backends_in_use: 1,
            backends_total: 1,
            warnings: Vec::new(),
            state_age_seconds: 0.0,
            reload_refused: None,
            connection_log: None,
            notifications: None,
        },
        version: 7,
        services: vec![web],
        stats: Stats {
            at: Timestamp::UNIX_EPOCH,
            packets: vec![VerdictView {
                verdict: "tx".to_owned(),
                reason: "forwarded".to_owned(),
                packets: 5,
                bytes: 6,
            }],
            services: Vec::new(),
            port_clashes_total: 0,
            early_port_reuses_total: 0,
            incidents: Vec::new(),
        },
        tally: Tally::default(),
        journal: JournalSize { bytes: 4_096, records: 7 },
        runs: Runs { count: 1_000, time: Duration::from_millis(250) },
        connection_log: Summary { written: 9, left_out: 2, fault: None },
        notifications: lb_notify::Tally { delivered: 3, failed: 2, dropped: 1, queued: 4 },
        xdp_mode: XdpMode::Auto,
        age: Duration::from_millis(500),
    }
}

/// Returns the counters of a backend.
fn counted(address: SocketAddr) -> BackendStats {
    BackendStats {
        address,
        removed_left: None,
        connections: 2,
        packets_in: 3,
        packets_out: 4,
        bytes_in: 4,
        bytes_out: 5,
        resets_by_client: 1,
        resets_by_backend: 2,
        retransmitted_syns: 3,
        handshakes: Handshakes {
            samples: 2,
            total_us: 9_000,
            buckets: vec![0, 0, 1, 0, 0, 0, 0, 1],
        },
    }
}
