//! The programs that the tests and the benchmark run.

use anyhow::{Result, bail};

use super::apt;
use crate::exec;

pub(super) struct Program {
    name: &'static str,
    package: &'static str,
    /// Service that its package would start at boot, and that the tests do not need.
    service: Option<&'static str>,
}

const fn tool(name: &'static str, package: &'static str) -> Program {
    Program { name, package, service: None }
}

const fn server(name: &'static str) -> Program {
    Program { name, package: name, service: Some(name) }
}

/// For the unit tests.
pub(super) const HOST: [Program; 3] =
    [tool("c++", "g++"), tool("ip", "iproute2"), tool("openssl", "openssl")];

/// For the end-to-end tests and the benchmark. An absolute path is used as it is, without a search.
pub(super) const FORWARDING: [Program; 15] = [
    tool("bpftool", "bpftool"),
    tool("curl", "curl"),
    tool("ethtool", "ethtool"),
    tool("fsfreeze", "util-linux"),
    server("haproxy"),
    tool("ip", "iproute2"),
    tool("iperf3", "iperf3"),
    tool("mkfs.ext4", "e2fsprogs"),
    server("nginx"),
    tool("/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream"),
    tool("nft", "nftables"),
    tool("openssl", "openssl"),
    tool("ping", "iputils-ping"),
    Program { name: "sshd", package: "openssh-server", service: Some("ssh") },
    tool("wrk", "wrk"),
];

/// For the attacks and mishaps.
pub(super) const HOSTILE: [Program; 5] = [
    tool("curl", "curl"),
    tool("ip", "iproute2"),
    server("nginx"),
    tool("openssl", "openssl"),
    tool("tc", "iproute2"),
];

/// For the Debian package.
pub(super) const PACKAGE: [Program; 3] =
    [tool("ip", "iproute2"), server("nginx"), tool("/lib/systemd/systemd", "systemd")];

/// For the guests that boot other kernels.
pub(super) const GUEST: [Program; 11] = [
    tool("/bin/busybox", "busybox-static"),
    tool("cpio", "cpio"),
    tool("depmod", "kmod"),
    tool("ethtool", "ethtool"),
    tool("ip", "iproute2"),
    server("nginx"),
    tool("qemu-system-x86_64", "qemu-system-x86"),
    tool("setpriv", "util-linux"),
    tool("strip", "binutils"),
    tool("tc", "iproute2"),
    tool("unxz", "xz-utils"),
];

/// For pairs of balancers.
pub(super) const PAIR: [Program; 3] =
    [tool("ip", "iproute2"), server("keepalived"), server("nginx")];

/// For what people and tools see of the balancer.
pub(super) const SEE: [Program; 11] = [
    tool("chromedriver", "chromium-driver"),
    tool("chromium", "chromium"),
    tool("curl", "curl"),
    tool("ethtool", "ethtool"),
    tool("ip", "iproute2"),
    server("nginx"),
    tool("npm", "npm"),
    server("prometheus"),
    tool("promtool", "prometheus"),
    tool("tshark", "tshark"),
    tool("unshare", "util-linux"),
];

/// Returns the names of missing programs.
pub(super) fn missing(programs: &[Program]) -> Vec<String> {
    absent(programs).map(|program| program.name.to_owned()).collect()
}

/// Installs missing programs.
pub(super) fn ensure(programs: &[Program]) -> Result<()> {
    let absent: Vec<_> = absent(programs).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = absent.iter().map(|program| program.package).collect();
    if !apt::is_debian_12() {
        bail!(
            "the tests need programs that are not installed; on Debian their packages are: {}",
            packages.join(" ")
        );
    }
    apt::install(&packages)?;
    absent.iter().filter_map(|program| program.service).try_for_each(apt::disable)
}

fn absent(programs: &[Program]) -> impl Iterator<Item = &Program> {
    programs.iter().filter(|program| exec::find(program.name).is_none())
}
