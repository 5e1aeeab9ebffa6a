//! `pair keepalived`: a configuration of keepalived from the balancer's own.

use std::{
    env,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_config::Config;
use lb_host::printable;
use lb_model::{DEFAULT_SOCKET, Group};
use nix::ifaddrs::getifaddrs;

use super::super::args::KeepalivedSettings;

const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// Priorities in VRRP. They decide only while no node is active: no node preempts another one.
const PREFERRED: u8 = 150;
const OTHER: u8 = 100;

/// Number of addresses that an advertisement of VRRP has room for.
const MOST_ADDRESSES: usize = 255;

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Own {
    interface: String,
    address: Ipv4Addr,
    mask: u32,
}

impl Own {
    /// Returns true if the address is in the same network.
    fn reaches(&self, address: Ipv4Addr) -> bool {
        u32::from(self.address) & self.mask == u32::from(address) & self.mask
    }
}

/// Returns the file for this host.
pub(super) fn of_this_host(settings: &KeepalivedSettings) -> Result<String> {
    let config = lb_config::load(&settings.config)?.config;
    ensure!(!config.groups.is_empty(), Group::NONE);
    let own = own_addresses()?;
    let binary = env::current_exe().context("cannot find this program's file")?;
    configuration(settings, &config, &own, &binary)
}

fn own_addresses() -> Result<Vec<Own>> {
    let found = getifaddrs().context("cannot read this host's addresses")?.filter_map(|one| {
        let address = one.address.as_ref()?.as_sockaddr_in()?.ip();
        let mask = u32::from(one.netmask.as_ref()?.as_sockaddr_in()?.ip());
        // A label of an address, as in eth0:1, is not part of the name.
        let interface = one.interface_name.split(':').next()?.to_owned();
        Some(Own { interface, address, mask })
    });
    Ok(found.filter(|own| !own.address.is_loopback()).collect())
}

fn configuration(
    settings: &KeepalivedSettings,
    config: &Config,
    own: &[Own],
    binary: &Path,
) -> Result<String> {
    let KeepalivedSettings { peer, router_id, prefer, config: file } = settings;
    for name in prefer {
        let is_known = config.groups.iter().any(|group| group.name == *name);
        ensure!(is_known, "--prefer: there is no group {name} in {}", file.display());
    }
    ensure!(
        !config.is_grouped((*peer).into()),
        "--peer: {peer} is an address of a group: give one that always belongs to the other node"
    );
    for group in &config.groups {
        let count = group.addresses().count();
        ensure!(
            count <= MOST_ADDRESSES,
            "group {} has {count} addresses, and keepalived takes {MOST_ADDRESSES} of an instance: split it",
            group.name
        );
    }
    for path in [binary, config.api.socket.as_path(), config.bpffs.as_path()] {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        ensure!(
            path.to_str().is_some_and(|path| path.chars().all(is_plain)),
            "{} cannot be written in keepalived's file: use letters, digits and `/._-+` in paths",
            path.display()
        );
    }
    ensure!(
        own.iter().all(|one| one.address != *peer),
        "--peer: {peer} is an address of this host: give one of the other node"
    );
    let is_own = |one: &&Own| one.mask != u32::MAX && !config.is_grouped(one.address.into());
    let Some(local) = own.iter().filter(is_own).find(|one| one.reaches(*peer)) else {
        bail!("--peer: {peer} is on no network of this host: give an address that is");
    };
    let host_bits = u32::from(*peer) & !local.mask;
    ensure!(
        host_bits != 0 && host_bits != !local.mask,
        "--peer: {peer} is the address of a network, or its broadcast address: give that of the other node"
    );
    for address in config.groups.iter().flat_map(|group| &group.snat_addresses) {
        ensure!(
            reaching(*address, own, config).is_some(),
            "no interface of `interfaces` has the network of {address} of `snat_addresses`: give one in the \
             network of the backends, or of the router to them"
        );
    }
    let last = usize::from(*router_id) + config.groups.len() - 1;
    ensure!(
        u8::try_from(last).is_ok(),
        "--router-id: {} groups need ids up to {last}, of 255 at most",
        config.groups.len()
    );
    let mut text = head(settings, config, binary);
    for (id, group) in (*router_id..=u8::MAX).zip(&config.groups) {
        let priority = if prefer.contains(&group.name) { PREFERRED } else { OTHER };
        instance(
            &Instance { config, own, local, peer: *peer, binary, id, priority },
            group,
            &mut text,
        )?;
    }
    Ok(text)
}

fn head(settings: &KeepalivedSettings, config: &Config, binary: &Path) -> String {
    let xdplb = command(config, binary);
    format!(
        "\
# keepalived.conf for this node, printed by `xdplb pair keepalived` from
# {file}. Print it anew on both nodes when groups change.
#
# keepalived decides which node is active for a group, and moves the group's addresses. It tells
# xdplb, which forwards nothing of a group on a standby node, even one that still has its addresses.

global_defs {{
    # Standard VRRP, with advertisements more often than each second.
    vrrp_version 3
    script_user root
    enable_script_security
    # Announce the addresses again after a takeover, as frames may be lost.
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 60
}}

# This node hands over if xdplb cannot forward, and takes part again when it can.
vrrp_script xdplb {{
    script \"{xdplb} pair ready{bpffs}\"
    interval 1
    timeout 1
    fall 1
    rise 2
}}
",
        file = printable::line(&settings.config.display().to_string()),
        bpffs = bpffs(config),
    )
}

/// What the instance of a group needs.
struct Instance<'a> {
    config: &'a Config,
    own: &'a [Own],
    /// The address towards the other node.
    local: &'a Own,
    peer: Ipv4Addr,
    binary: &'a Path,
    id: u8,
    priority: u8,
}

fn instance(of: &Instance<'_>, group: &Group, text: &mut String) -> Result<()> {
    let Instance { config, own, local, peer, binary, id, priority } = of;
    let (name, xdplb) = (&group.name, command(config, binary));
    let bpffs = bpffs(config);
    let mut addresses = String::new();
    for address in group.addresses() {
        let interface = interface_of(address, own, config);
        writeln!(addresses, "        {address}/32 dev {interface}")?;
    }
    let tracked = tracked(config, &local.interface);
    write!(
        text,
        "
vrrp_instance {name} {{
    # Nobody starts as master, and nobody takes a group back from a node that serves it: there is no
    # priority to add up.
    state BACKUP
    nopreempt
    priority {priority}
    virtual_router_id {id}
    advert_int 0.2
    interface {interface}
    unicast_src_ip {address}
    unicast_peer {{
        {peer}
    }}
    virtual_ipaddress {{
{addresses}    }}
{tracked}    track_script {{
        xdplb
    }}
    notify_master \"{xdplb} pair promote {name}{bpffs}\"
    notify_backup \"{xdplb} pair demote {name}{bpffs}\"
    notify_fault \"{xdplb} pair demote {name}{bpffs}\"
    notify_stop \"{xdplb} pair demote {name}{bpffs}\"
}}
",
        interface = local.interface,
        address = local.address,
    )?;
    Ok(())
}

/// Returns the block of the balancer's interfaces that must be up, beside the one of the instance.
fn tracked(config: &Config, of_instance: &str) -> String {
    let others = config.interfaces.iter().filter(|name| *name != of_instance);
    let others: Vec<_> = others.map(String::as_str).collect();
    if others.is_empty() {
        return String::new();
    }
    format!("    track_interface {{\n        {}\n    }}\n", others.join("\n        "))
}

/// Returns the balancer's interface for an address: the one in its network, or else the first one, as for a VIP
/// that a router sends here.
fn interface_of<'a>(address: IpAddr, own: &'a [Own], config: &'a Config) -> &'a str {
    reaching(address, own, config).unwrap_or(&config.interfaces[0])
}

/// Returns the balancer's interface in the network of an address.
fn reaching<'a>(address: IpAddr, own: &'a [Own], config: &'a Config) -> Option<&'a str> {
    let IpAddr::V4(address) = address else { return None };
    let is_balanced = |one: &&Own| config.interfaces.contains(&one.interface);
    let mut own = own.iter().filter(is_balanced);
    let found = own.find(|one| one.mask != u32::MAX && one.reaches(address))?;
    Some(&found.interface)
}

/// Returns the argument for a BPF file system in another place.
fn bpffs(config: &Config) -> String {
    if config.bpffs == Path::new(DEFAULT_BPFFS) {
        return String::new();
    }
    format!(" --bpffs {}", config.bpffs.display())
}

/// Returns the command of this program that reaches the daemon.
fn command(config: &Config, binary: &Path) -> String {
    let binary = binary.display().to_string();
    if config.api.socket == Path::new(DEFAULT_SOCKET) {
        return binary;
    }
    let socket = config.api.socket.display().to_string();
    format!("{binary} --socket {socket}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        interfaces = ["eth0", "eth1"]
        [[group]]
        name = "web"
        vips = ["203.0.113.10"]
        snat_addresses = ["10.0.0.5"]
        [[group]]
        name = "mail"
        vips = ["198.51.100.7"]
        snat_addresses = ["10.0.0.6"]
    "#;

    fn printed(peer: [u8; 4], prefer: &[&str], router_id: u8) -> Result<String> {
        let config = lb_config::read("lb.toml".to_owned(), FILE.to_owned()).expect("valid").config;
        let own = [
            ("eth0", [203, 0, 113, 1], 24),
            ("eth0", [203, 0, 113, 10], 32),
            ("eth1", [10, 0, 0, 1], 24),
        ];
        let own = own.map(|(interface, address, length)| Own {
            interface: interface.to_owned(),
            address: address.into(),
            mask: u32::MAX << (32 - length),
        });
        let settings = KeepalivedSettings {
            config: "lb.toml".into(),
            peer: peer.into(),
            router_id,
            prefer: prefer.iter().map(ToString::to_string).collect(),
        };
        configuration(&settings, &config, &own, Path::new("/usr/bin/xdplb"))
    }

    #[test]
    fn addresses_are_on_the_interfaces_of_their_networks() {
        let text = printed([10, 0, 0, 2], &["mail"], 51).expect("printed");
        let instances: Vec<_> = text.split("vrrp_instance ").skip(1).collect();
        let [web, mail] = <[_; 2]>::try_from(instances).expect("two");
        for line in [
            "web {\n",
            "priority 100\n",
            "virtual_router_id 51\n",
            "interface eth1\n",
            "unicast_src_ip 10.0.0.1\n",
            "unicast_peer {\n        10.0.0.2\n",
            "track_interface {\n        eth0\n    }\n",
            "203.0.113.10/32 dev eth0\n        10.0.0.5/32 dev eth1\n",
            "notify_master \"/usr/bin/xdplb pair promote web\"\n",
            "notify_stop \"/usr/bin/xdplb pair demote web\"\n",
        ] {
            assert!(web.contains(line), "{line}\n{web}");
        }
        for line in
            ["mail {\n", "priority 150\n", "virtual_router_id 52\n", "198.51.100.7/32 dev eth0\n"]
        {
            assert!(mail.contains(line), "{line}\n{mail}");
        }
        assert!(text.contains("script \"/usr/bin/xdplb pair ready\""), "{text}");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (peer, prefer, id, said) in [
            ([10, 0, 0, 5], &[][..], 51, "--peer: 10.0.0.5 is an address of a group"),
            ([10, 0, 0, 255], &[][..], 51, "--peer: 10.0.0.255 is the address of a network, or"),
            ([127, 0, 0, 1], &[][..], 51, "--peer: 127.0.0.1 is on no network of this host"),
            ([192, 0, 2, 1], &[][..], 51, "--peer: 192.0.2.1 is on no network of this host"),
            ([10, 0, 0, 1], &[][..], 51, "--peer: 10.0.0.1 is an address of this host"),
            ([10, 0, 0, 2], &["ftp"][..], 51, "--prefer: there is no group ftp in lb.toml"),
            ([10, 0, 0, 2], &[][..], 255, "--router-id: 2 groups need ids up to 256"),
        ] {
            let refused = printed(peer, prefer, id).expect_err(said).to_string();
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}
