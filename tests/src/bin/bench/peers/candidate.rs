//! The candidates of the comparison, each set up in a testbed of its own.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::testbed::{Namespace, Testbed};
use serde::Serialize;

use super::{configuration, iperf};
use crate::programs::{self, Attached};

pub(super) const PORT: u16 = 8080;

/// An address of all backends, in addition to their own.
const SHARED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Source addresses of full NAT, in addition to the balancer's own.
const EXTRA_SOURCES: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 0, 0, 2),
    Ipv4Addr::new(10, 0, 0, 3),
    Ipv4Addr::new(10, 0, 0, 4),
    Ipv4Addr::new(10, 0, 0, 5),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidate {
    /// The kernel forwards, and spreads connections over equal-cost routes; nothing is rewritten.
    Routing,
    /// The same, with XDP programs on the interfaces that only pass frames: the cost of native XDP
    /// on veth, where it forbids segmentation offload and copies frames.
    RoutingXdp,
    Xdplb,
    /// In the kernel's generic hook, which takes the kernel's own buffers.
    XdplbGeneric,
    Haproxy,
    Nginx,
    /// Destination NAT; backends route back through the balancer.
    Nftables,
}

impl Candidate {
    pub const ALL: [Self; 7] = [
        Self::Routing,
        Self::RoutingXdp,
        Self::Xdplb,
        Self::XdplbGeneric,
        Self::Haproxy,
        Self::Nginx,
        Self::Nftables,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::RoutingXdp => "routing_xdp",
            Self::Xdplb => "xdplb",
            Self::XdplbGeneric => "xdplb_generic",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Nftables => "nftables",
        }
    }

    /// Returns true if frames pass native XDP at the balancer's interfaces.
    pub(super) fn uses_xdp(self) -> bool {
        matches!(self, Self::Xdplb | Self::RoutingXdp)
    }

    /// Returns the address that clients connect to.
    pub(super) fn target(self, testbed: &Testbed) -> SocketAddrV4 {
        match self {
            Self::Routing | Self::RoutingXdp => SocketAddrV4::new(SHARED, PORT),
            _ => SocketAddrV4::new(testbed.vip(), PORT),
        }
    }

    /// Returns the address that bulk data are sent to, where a single server takes all connections.
    pub(super) fn bulk_target(self, testbed: &Testbed) -> SocketAddrV4 {
        match self {
            Self::Routing | Self::RoutingXdp => {
                SocketAddrV4::new(testbed.backends()[0].address, iperf::PORT)
            }
            _ => SocketAddrV4::new(testbed.vip(), iperf::PORT),
        }
    }

    /// Starts it in a testbed whose backends are up. The caller keeps the returned programs
    /// attached.
    pub(super) fn start(self, testbed: &Testbed) -> Result<Option<Attached>> {
        match self {
            Self::Routing => {
                plain_cables(testbed)?;
                route(testbed)?;
            }
            Self::RoutingXdp => {
                route(testbed)?;
                return Attached::new("xdp_pass", testbed.balancer(), testbed.interfaces())
                    .map(Some);
            }
            Self::Xdplb => start_xdplb(testbed, "native")?,
            Self::XdplbGeneric => start_xdplb(testbed, "generic")?,
            Self::Haproxy => {
                plain_cables(testbed)?;
                start(testbed, Command::new("haproxy").arg("-f"), configuration::haproxy(testbed))?;
            }
            Self::Nginx => {
                plain_cables(testbed)?;
                start(
                    testbed,
                    Command::new("nginx").arg("-c"),
                    configuration::nginx_stream(testbed),
                )?;
            }
            Self::Nftables => {
                plain_cables(testbed)?;
                translate(testbed)?;
            }
        }
        Ok(None)
    }
}

/// Undoes a testbed's preparations for sending by XDP, which only slow the others down: programs at
/// the far ends of the balancer's cables, and checksums computed there.
fn plain_cables(testbed: &Testbed) -> Result<()> {
    for interface in testbed.interfaces() {
        let port = format!("balancer-{interface}");
        programs::detach(testbed.switch(), &port)?;
        let mut ethtool = Command::new("ethtool");
        ethtool.args(["-K", &port, "tx", "on"]).stdout(Stdio::null());
        finish(testbed.switch(), &mut ethtool)?;
    }
    Ok(())
}

fn start_xdplb(testbed: &Testbed, mode: &str) -> Result<()> {
    for address in EXTRA_SOURCES {
        testbed.balancer().add_address("eth1", address, 24)?;
    }
    let binary = xdplb_binary()?;
    let configuration = configuration::xdplb(testbed, mode, &EXTRA_SOURCES);
    start(testbed, Command::new(binary).args(["run", "-c"]), configuration)
}

/// Returns the balancer under test. Cargo puts all binaries of a profile into one directory.
pub fn xdplb_binary() -> Result<PathBuf> {
    let binary = env::current_exe()?.with_file_name("xdplb");
    ensure!(binary.exists(), "{} is missing: run `cargo xtask build`", binary.display());
    Ok(binary)
}

/// Starts a balancer whose last argument is its configuration.
fn start(testbed: &Testbed, command: &mut Command, configuration: String) -> Result<()> {
    let file = testbed.directory().join("balancer.conf");
    fs::write(&file, configuration)?;
    spawn(testbed.balancer(), command.arg(&file), &log(testbed))
}

fn translate(testbed: &Testbed) -> Result<()> {
    forward(testbed)?;
    let file = testbed.directory().join("nftables.conf");
    fs::write(&file, configuration::nftables(testbed))?;
    finish(testbed.balancer(), Command::new("nft").arg("-f").arg(&file))
}

fn route(testbed: &Testbed) -> Result<()> {
    forward(testbed)?;
    let balancer = testbed.balancer();
    balancer.set_sysctl("net.ipv4.fib_multipath_hash_policy", "1")?;
    let mut add = Command::new("ip");
    add.args(["route", "add", &SHARED.to_string()]);
    for host in testbed.backends() {
        host.namespace.add_address("lo", SHARED, 32)?;
        add.args(["nexthop", "via", &host.address.to_string()]);
    }
    finish(balancer, &mut add)?;
    let gateway = configuration::gateway(testbed);
    let client = &testbed.clients()[0].namespace;
    client.add_route(SHARED, 32, gateway)?;
    // The route for bulk data, which are sent to one server.
    client.add_route(testbed.backends()[0].address, 32, gateway)
}

/// Makes the balancer's kernel forward, and backends answer through it.
fn forward(testbed: &Testbed) -> Result<()> {
    testbed.balancer().set_sysctl("net.ipv4.ip_forward", "1")?;
    let client = &testbed.clients()[0];
    testbed
        .backends()
        .iter()
        .try_for_each(|host| host.namespace.add_route(client.address, 32, configuration::INSIDE))
}

/// Returns the path of the balancer's log.
pub(super) fn log(testbed: &Testbed) -> PathBuf {
    testbed.directory().join("balancer.log")
}

/// Starts a server, which ends with its namespace.
pub(super) fn spawn(namespace: &Namespace, command: &mut Command, log: &Path) -> Result<()> {
    let log = File::create(log)?;
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    namespace.spawn(command).map(drop)
}

/// Runs a program to its end.
pub(super) fn finish(namespace: &Namespace, command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = namespace.spawn(command)?.wait().with_context(|| format!("lost {name}"))?;
    ensure!(status.success(), "{name} failed in {}: {status}", namespace.name());
    Ok(())
}
