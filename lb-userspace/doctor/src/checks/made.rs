//! Facts of a healthy balancer, for the tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use lb_host::{listeners::Listeners, local_ports::LocalPorts};
use lb_model::views::{
    FlowsView, GuardHook, InterfaceMode, InterfaceView, LinkState, Stats, Status,
};
use lb_neighbours::{AttachMode, Interface};

use crate::facts::{
    Attached, Link, Network, OwnAddress, Peer, Process, Running, Site, Spread, Storage,
};

const FILE: &str = r#"
interfaces = ["eth0", "eth1"]
[[service]]
name = "web"
vip = "203.0.113.10:80"
[[service.backend]]
address = "10.0.0.11:80"
"#;

/// Returns a veth that runs the program.
pub(super) fn link(name: &str, ifindex: u32) -> Link {
    Link {
        interface: Interface {
            ifindex,
            name: name.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1_500,
            up: true,
            parent: None,
            controller: None,
        },
        is_loopback: false,
        is_enabled: true,
        does_arp: true,
        driver: Ok("veth".to_owned()),
        attached: Ok(Attached::Ours(AttachMode::Native)),
        is_native: Ok(true),
        features: Ok(BTreeSet::new()),
        channels: Ok(None),
        rings: Ok(None),
        spread: Ok(Spread::default()),
        peer: Some(Peer::Seen {
            name: "far".to_owned(),
            namespace: None,
            has_native_program: true,
            leaves_checksums: false,
        }),
        rp_filter: Ok(0),
        arp_ignore: Ok(0),
    }
}

pub(super) fn site() -> Site {
    let own = |interface: &str, address: [u8; 4], length| OwnAddress {
        interface: interface.to_owned(),
        network: Ipv4Net::new(Ipv4Addr::from(address), length).expect("a prefix"),
    };
    Site {
        config: lb_config::read("lb.toml".to_owned(), FILE.to_owned()).expect("valid").config,
        cpus: Ok(2),
        links: vec![link("eth0", 2), link("eth1", 3)],
        unread: BTreeMap::new(),
        network: Network {
            addresses: Ok(vec![
                own("eth0", [203, 0, 113, 1], 24),
                own("eth1", [10, 0, 0, 1], 24),
                own("eth0", [203, 0, 113, 10], 32),
            ]),
            unrouted: Ok(BTreeSet::new()),
            routes: Ok(BTreeMap::new()),
            silent: Ok(BTreeSet::new()),
            claims: Ok(BTreeMap::new()),
            unasked_hops: 0,
            unasked_addresses: 0,
            neighbour_limit: Ok(1_024),
        },
        listeners: Ok(Listeners::default()),
        local_ports: Ok(LocalPorts::default()),
        programs: Ok(BTreeMap::new()),
        storage: Storage {
            is_bpffs: Ok(true),
            is_migration_interrupted: Ok(false),
            state: Ok(None),
            losses: Ok(Vec::new()),
        },
    }
}

pub(super) fn running() -> Running {
    let interface = InterfaceView {
        name: "eth0".to_owned(),
        ifindex: 2,
        link: LinkState::Up,
        mode: InterfaceMode::Native,
        guard: GuardHook::Tcx,
    };
    Running {
        status: Status {
            version: String::new(),
            pid: 1,
            started: Timestamp::UNIX_EPOCH,
            config: "lb.toml".to_owned(),
            http: None,
            interfaces: vec![interface],
            groups: Vec::new(),
            flows: FlowsView { capacity: 100_000, ..FlowsView::default() },
            services: 1,
            backends_up: 1,
            backends_in_use: 1,
            backends_total: 1,
            warnings: Vec::new(),
            reload_refused: None,
            connection_log: None,
            notifications: None,
            state_age_seconds: 0.5,
        },
        services: Vec::new(),
        rates: Stats {
            at: Timestamp::UNIX_EPOCH,
            packets: Vec::new(),
            services: Vec::new(),
            port_clashes_total: 0,
            early_port_reuses_total: 0,
            incidents: Vec::new(),
        },
        process: Ok(Process { files: 4_096, capabilities: u64::MAX, is_elsewhere: false }),
    }
}
