//! What is compared, and how each is set up in a bed of its own.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use lb_userspace::bed::{Bed, Namespace};
use serde::Serialize;

use super::configuration;

pub(super) const PORT: u16 = 8080;

/// An address that all backends have, beside their own.
const SHARED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Source addresses of full NAT, beside the balancer's own.
const EXTRA_SOURCES: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 0, 0, 2),
    Ipv4Addr::new(10, 0, 0, 3),
    Ipv4Addr::new(10, 0, 0, 4),
    Ipv4Addr::new(10, 0, 0, 5),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Candidate {
    /// The kernel forwards, and spreads connections over equal routes; nothing is rewritten.
    Routing,
    Xdplb,
    Haproxy,
    Nginx,
    /// Destination NAT; backends route back through the balancer.
    Nftables,
}

impl Candidate {
    pub const ALL: [Self; 5] =
        [Self::Routing, Self::Xdplb, Self::Haproxy, Self::Nginx, Self::Nftables];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::Xdplb => "xdplb",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Nftables => "nftables",
        }
    }

    /// Where clients connect to.
    pub(super) fn target(self, bed: &Bed) -> SocketAddrV4 {
        match self {
            Self::Routing => SocketAddrV4::new(SHARED, PORT),
            _ => SocketAddrV4::new(bed.vip(), PORT),
        }
    }

    /// Starts it in a bed whose backends are up.
    pub(super) fn start(self, bed: &Bed) -> Result<()> {
        match self {
            Self::Routing => route(bed),
            Self::Xdplb => start_xdplb(bed),
            Self::Haproxy => {
                start(bed, Command::new("haproxy").arg("-f"), configuration::haproxy(bed))
            }
            Self::Nginx => {
                start(bed, Command::new("nginx").arg("-c"), configuration::nginx_stream(bed))
            }
            Self::Nftables => translate(bed),
        }
    }
}

fn start_xdplb(bed: &Bed) -> Result<()> {
    for address in EXTRA_SOURCES {
        bed.balancer().add_address("eth1", address, 24)?;
    }
    let binary = xdplb_binary()?;
    start(bed, Command::new(binary).args(["run", "-c"]), configuration::xdplb(bed, &EXTRA_SOURCES))
}

/// The balancer that is measured. Cargo puts all binaries of a profile into one directory.
pub fn xdplb_binary() -> Result<PathBuf> {
    let binary = env::current_exe()?.with_file_name("xdplb");
    ensure!(binary.exists(), "{} is missing: run `cargo xtask build`", binary.display());
    Ok(binary)
}

/// Starts a balancer whose last argument is its configuration.
fn start(bed: &Bed, command: &mut Command, configuration: String) -> Result<()> {
    let file = bed.directory().join("balancer.conf");
    fs::write(&file, configuration)?;
    spawn(bed.balancer(), command.arg(&file), &log(bed))
}

fn translate(bed: &Bed) -> Result<()> {
    forward(bed)?;
    let file = bed.directory().join("nftables.conf");
    fs::write(&file, configuration::nftables(bed))?;
    finish(bed.balancer(), Command::new("nft").arg("-f").arg(&file))
}

fn route(bed: &Bed) -> Result<()> {
    forward(bed)?;
    let balancer = bed.balancer();
    balancer.set_sysctl("net.ipv4.fib_multipath_hash_policy", "1")?;
    let mut add = Command::new("ip");
    add.args(["route", "add", &SHARED.to_string()]);
    for host in bed.backends() {
        host.namespace.add_address("lo", SHARED, 32)?;
        add.args(["nexthop", "via", &host.address.to_string()]);
    }
    finish(balancer, &mut add)?;
    let gateway = configuration::gateway(bed);
    bed.clients()[0].namespace.add_route(SHARED, 32, gateway)
}

/// Has the balancer's kernel forward, and backends answer through it.
fn forward(bed: &Bed) -> Result<()> {
    bed.balancer().set_sysctl("net.ipv4.ip_forward", "1")?;
    let client = &bed.clients()[0];
    bed.backends()
        .iter()
        .try_for_each(|host| host.namespace.add_route(client.address, 32, configuration::INSIDE))
}

/// Where the balancer's own words are.
pub(super) fn log(bed: &Bed) -> PathBuf {
    bed.directory().join("balancer.log")
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
