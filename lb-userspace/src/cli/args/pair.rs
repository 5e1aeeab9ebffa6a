//! Arguments of `pair`.

use std::{net::Ipv4Addr, path::PathBuf};

use clap::{Args, Subcommand, value_parser};

use super::super::complete;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PairVerb {
    /// Show groups and this node's roles for them.
    Status,
    /// Tell whether this node can be active. Its interfaces must forward, and services must have usable backends.
    /// Exits with 1 and the reasons if not. While the daemon is restarted, an active node is ready until its
    /// lease ends. Made for keepalived's `track_script`.
    Ready {
        /// Number of services that must have a backend that takes connections.
        #[arg(long, value_name = "N", default_value_t = 1)]
        need: usize,
        /// Mount point of the BPF file system, if the configuration sets another one.
        #[arg(long, default_value = "/sys/fs/bpf", value_name = "DIR")]
        bpffs: PathBuf,
    },
    /// Print a configuration of keepalived for this host. It moves the groups' addresses, and calls `promote`
    /// and `demote`.
    Keepalived(KeepalivedSettings),
    /// Make this node active for a group. It forwards the group's packets from then on, and announces its
    /// addresses. A daemon must run, or the lease ends soon. Made for keepalived's `notify_master`.
    Promote(GroupName),
    /// Make this node standby for a group. It forwards nothing of it from then on, and answers no ARP request
    /// for its addresses. Works without the daemon, too, as root. Made for keepalived's `notify_backup`,
    /// `notify_fault` and `notify_stop`.
    Demote(GroupName),
}

/// What keepalived needs to know beyond the configuration.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeepalivedSettings {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) config: PathBuf,
    /// Address of the other node, in a network that this node has an address in.
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) peer: Ipv4Addr,
    /// VRRP's virtual router id of the first group, the same on both nodes; further groups have the next ones.
    #[arg(long, value_name = "ID", default_value_t = 51, value_parser = value_parser!(u8).range(1..))]
    pub(in crate::cli) router_id: u8,
    /// Group that this node is to be active for at first, if both nodes start; repeat for more.
    #[arg(long, value_name = "GROUP")]
    pub(in crate::cli) prefer: Vec<String>,
}

/// Name of a group.
#[derive(Debug, Args)]
pub(in crate::cli) struct GroupName {
    /// Name of the group. May be omitted if there is only one.
    #[arg(value_name = "GROUP", add = complete::groups())]
    pub(in crate::cli) name: Option<String>,
    /// Mount point of the BPF file system, if the configuration sets another one.
    #[arg(long, default_value = "/sys/fs/bpf", value_name = "DIR")]
    pub(in crate::cli) bpffs: PathBuf,
}
