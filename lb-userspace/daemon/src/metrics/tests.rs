use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use lb_common::stats::Traffic;
use lb_health::Tally as Checks;
use lb_model::{
    Health, Policy, Protocol, XdpMode,
    views::{
        BackendStats, BackendView, FlowsView, ServiceStats, ServiceView, Stats, Status, VerdictView,
    },
};

use super::*;
use crate::{overview::OfService, tally::Tally};

fn overview() -> Overview {
    let address = "10.0.0.11:80".parse().expect("an address");
    let vip = "203.0.113.10:80".parse().expect("an address");
    let backend = BackendView {
        address,
        weight: 5,
        backup: false,
        origin: None,
        admin: lb_model::Admin::Enabled,
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
    let of_backend = BackendStats {
        address,
        removed_left: None,
        connections: 2,
        packets_in: 3,
        packets_out: 4,
        bytes_in: 4,
        bytes_out: 5,
    };
    let removed = BackendStats { removed_left: Some(1), connections: 10, ..of_backend.clone() };
    let mut buckets = [0; 11];
    (buckets[0], buckets[10]) = (3, 1);
    let web = OfService {
        view: ServiceView {
            name: "web\"\n".to_owned(),
            vip,
            protocol: Protocol::Tcp,
            policy: Policy::default(),
            origins: std::collections::BTreeMap::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            backends: vec![backend],
        },
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
            interfaces: Vec::new(),
            flows: FlowsView::default(),
            services: 1,
            backends_up: 1,
            backends_in_use: 1,
            backends_total: 1,
            warnings: Vec::new(),
            reload_refused: None,
            state_age_seconds: 0.0,
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
        xdp_mode: XdpMode::Auto,
        age: Duration::from_millis(500),
    }
}

#[test]
fn both_formats_have_the_same_samples() {
    let [open, plain] = [Format::OpenMetrics, Format::Text].map(|format| {
        let text = encode(overview(), format).expect("encoded");
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        // What the process uses changes between the two.
        let steady = samples.filter(|line| !line.starts_with("xdplb_process_"));
        steady.map(ToOwned::to_owned).collect::<BTreeSet<_>>()
    });
    // They write bounds of buckets differently.
    let others = |samples: &BTreeSet<String>| {
        samples.iter().filter(|line| !line.contains("le=")).cloned().collect::<Vec<_>>()
    };
    assert_eq!(others(&open), others(&plain));
    assert_eq!(open.len(), plain.len());
    for sample in [
        r#"xdplb_build_info{version="1.2.3"} 1"#,
        r#"xdplb_packets_total{verdict="tx",reason="forwarded"} 5"#,
        r#"xdplb_service_connections_total{service="web\"\n"} 112"#,
        r#"xdplb_backend_connections_total{service="web\"\n",backend="10.0.0.11:80"} 2"#,
        r#"xdplb_backend_bytes_total{service="web\"\n",backend="10.0.0.11:80",direction="out"} 5"#,
        r#"xdplb_health_check_duration_seconds_bucket{le="5.0",service="web\"\n"} 3"#,
        r#"xdplb_health_check_duration_seconds_bucket{le="+Inf",service="web\"\n"} 4"#,
        r#"xdplb_health_check_duration_seconds_sum{service="web\"\n"} 6.5"#,
    ] {
        assert!(open.contains(sample), "{sample}: {open:#?}");
    }
}

#[test]
fn every_metric_is_documented_with_a_sentence() {
    let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all().count(), "a name is there twice");
    let page = page();
    for metric in all() {
        let line = format!("| `{PREFIX}_{}", metric.name);
        assert!(page.contains(&line) && metric.help.ends_with('.'), "{line}");
    }
}
