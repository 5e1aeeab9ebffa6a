//! Arguments of `pair`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::super::complete;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PairVerb {
    /// Show groups and this node's roles for them.
    Status,
    /// Tell whether this node can be active: interfaces, next hops, backends and leases are in order. Exits
    /// with 1 and the reasons if not. Made for keepalived's `track_script`.
    Ready {
        /// Number of services that must have a backend that takes connections.
        #[arg(long, value_name = "N", default_value_t = 1)]
        need: usize,
    },
    /// Make this node active for a group: it forwards the group's packets. Made for keepalived's
    /// `notify_master`.
    Promote(GroupName),
    /// Make this node standby for a group: it forwards nothing of it from then on, and answers no ARP request
    /// for its addresses. Works without the daemon, too, as root. Made for keepalived's `notify_backup`,
    /// `notify_fault` and `notify_stop`.
    Demote {
        #[command(flatten)]
        group: GroupName,
        /// Mount point of the BPF file system, if the configuration sets another one.
        #[arg(long, default_value = "/sys/fs/bpf", value_name = "DIR")]
        bpffs: PathBuf,
    },
}

/// Name of a group.
#[derive(Debug, Args)]
pub(in crate::cli) struct GroupName {
    /// Name of the group. May be omitted if there is only one.
    #[arg(value_name = "GROUP", add = complete::groups())]
    pub(in crate::cli) name: Option<String>,
}
