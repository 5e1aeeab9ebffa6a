//! Command-line arguments.

mod backend;
mod conns;
mod explain;
mod pair;
mod service;
mod trace;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use lb_progress::Progress;

use super::{complete, log::LogFormat};
use crate::{
    demo,
    top::{LONGEST, SHORTEST},
};

pub(super) use self::{
    backend::{BackendAddress, BackendVerb, Places},
    conns::{Conns, End},
    explain::Explain,
    pair::{GroupName, KeepalivedSettings, PairVerb},
    service::ServiceVerb,
    trace::Trace,
};

/// Environment variable with the path of the daemon's socket.
pub(super) const SOCKET_VARIABLE: &str = "XDPLB_SOCKET";

/// Heading of the options that all verbs have.
const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure, also if a name, VIP or backend is taken or \
    missing; 2 usage error, invalid value or configuration; 3 no daemon at the socket; 4 `diff` found differences, \
    `check --strict` found warnings, or `doctor` found problems or warnings; 70 the daemon ended because of a bug.";

/// A Layer-4 TCP load balancer in XDP.
#[derive(Debug, Parser)]
#[command(name = "xdplb", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// The daemon's socket.
    #[arg(long, global = true, help_heading = GLOBAL, env = SOCKET_VARIABLE, default_value = lb_model::DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,
    /// Log more; repeat for even more.
    #[arg(short, long, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Format of the log on standard error. Default: journal under systemd, else text.
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon in the foreground. SIGHUP reloads the configuration file; SIGTERM stops the
    /// daemon, and forwarding continues.
    Run {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Only check the configuration, like `check`.
        #[arg(long)]
        check: bool,
        /// Refuse to start if `limits.flows`, `limits.services`, `limits.backends` or `limits.accounting` has
        /// changed, or if another version's maps have to be replaced, instead of migrating connections.
        #[arg(long)]
        no_migrate: bool,
    },
    /// Check a configuration file. Exits with 0 if it is valid, 2 if it is invalid.
    Check {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE", required_unless_present = "schema")]
        config: Option<PathBuf>,
        /// Print the JSON Schema of configuration files instead, for editors.
        #[arg(long, conflicts_with = "config")]
        schema: bool,
        /// Exit with 4 if there are warnings. VIPs that no interface or route brings to this host, servers of
        /// this host that listen on all addresses, and a file with secrets that all users can read do not
        /// count, as the file may be for another host.
        #[arg(long)]
        strict: bool,
    },
    /// Detach the XDP program from interfaces, which stops forwarding. Stop the daemon first.
    Detach {
        /// Interfaces to detach from. Default: all interfaces; the maps are removed too, which ends
        /// all connections.
        #[arg(value_name = "IFACE", add = complete::interfaces())]
        interfaces: Vec<String>,
        /// Mount point of the BPF file system, if the configuration sets another one.
        #[arg(long, default_value = "/sys/fs/bpf", value_name = "DIR")]
        bpffs: PathBuf,
    },
    /// Find what is wrong with host, configuration and balancer, and what fixes it. Changes nothing. Exits with 4 if there are problems or warnings.
    Doctor {
        /// The configuration file, or - for standard input. Default: the running daemon's
        /// configuration; without a daemon, /etc/xdplb/xdplb.toml if it exists.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show the daemon, its interfaces and XDP mode, flow table and warnings.
    Status,
    /// Show and change services.
    Service {
        #[command(subcommand)]
        verb: ServiceVerb,
    },
    /// Show and change backends.
    Backend {
        #[command(subcommand)]
        verb: BackendVerb,
    },
    /// Show and change this node's roles in a pair. One node is active for each group of addresses.
    Pair {
        #[command(subcommand)]
        verb: PairVerb,
    },
    /// Show what a configuration file would change. Exits with 4 if it would change anything, with 2
    /// if `apply` would be refused.
    Diff {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Take VIPs that servers on this host listen on, like `apply --force`.
        #[arg(long)]
        force: bool,
    },
    /// Apply a configuration file. Changes made by commands that are not in the file are undone,
    /// except that drained and disabled backends stay so.
    Apply {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Take VIPs that servers on this host listen on.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Print the running settings and services as a configuration file. With -o json, print its keys as
    /// JSON. Secrets, as in `send`, `api.http_token` and `url`, are printed only for root.
    Export,
    /// Show who changed what and when, or one version in full. A version has its author, its changes and
    /// all its services.
    History {
        /// Number of the version.
        #[arg(
            value_name = "VERSION",
            allow_negative_numbers = true,
            value_parser = version,
            add = complete::versions()
        )]
        number: Option<u64>,
    },
    /// Roll back all services to an earlier version. Creates a new version.
    Rollback {
        /// Number of the version, as shown by `history`. Default: the version before the current
        /// one.
        #[arg(
            value_name = "VERSION",
            allow_negative_numbers = true,
            value_parser = version,
            add = complete::versions()
        )]
        number: Option<u64>,
        /// Take VIPs that servers on this host listen on.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Show packets by verdict and reason, and traffic by backend.
    Stats {
        /// Show only the traffic of this service.
        #[arg(value_name = "SERVICE", add = complete::services())]
        service: Option<String>,
        /// Show rates measured over one second instead of totals.
        #[arg(long)]
        rate: bool,
    },
    /// Show services, backends and their connections live in a terminal, with rates. Enter drills
    /// down, w lists all warnings, and ? the keys. A wide terminal has more columns, such as the median latency
    /// of handshakes. Bytes of connections need `limits.accounting`.
    Top {
        /// Time between two updates, from 250ms to 1m.
        #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
        interval: Duration,
    },
    /// List, count or kill connections. The list is streamed, so it may be long or cut by `| head`. With
    /// -o json, one object per line.
    Conns(Conns),
    /// Explain what would happen to a packet, and why. The loaded program decides, with the live maps, and
    /// nothing changes.
    Explain(Explain),
    /// Record packets as the program handles them, and print a line for each. A program that records replaces
    /// the usual one for that time. Needs root.
    Trace(Trace),
    /// Run a demo for 20 seconds in network namespaces. It has a balancer, three servers and traffic.
    Demo {
        /// Leave everything running afterwards to try commands on it; `demo --stop` removes it.
        #[arg(long)]
        keep: bool,
        /// Remove the demo of this name that was kept running. Without a name: all of them.
        #[arg(
            long,
            value_name = "NAME",
            num_args = 0..=1,
            value_parser = demo::name,
            conflicts_with = "keep"
        )]
        #[expect(clippy::option_option, reason = "an option whose value may be omitted")]
        stop: Option<Option<String>>,
    },
    /// Answer HTTP requests as a server of the demo.
    #[command(hide = true)]
    Respond {
        /// Name of the server, for its answers.
        name: String,
        /// Address and port to listen on.
        address: SocketAddr,
    },
    /// Print the completion script of a shell.
    Completions {
        /// Name of the shell.
        shell: Shell,
    },
    /// Print a manual page. For example, `man`, `man backend drain`, or `man xdplb.toml` for the
    /// configuration file.
    Man {
        /// Command to describe, or xdplb.toml. Default: xdplb itself.
        verb: Vec<String>,
    },
    /// Write everything generated from the code: references, manual pages, completions.
    #[command(hide = true)]
    Documents {
        /// Directory to write to.
        directory: PathBuf,
    },
}

/// Options of all changes.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Trial {
    /// Show what would change, like `diff`, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// Output format. With json, results go to standard output and errors to standard error as
    /// problem documents (RFC 9457).
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        global = true,
        help_heading = GLOBAL,
        default_value_t = Format::Table
    )]
    pub(super) format: Format,
    /// Log less, and show no progress; repeat to log only errors.
    #[arg(short, long, global = true, help_heading = GLOBAL, action = ArgAction::Count)]
    pub(super) quiet: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    /// A table with more columns.
    Wide,
    Json,
}

impl Output {
    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Returns where the progress of long work is shown.
    pub(super) fn progress(self) -> Progress {
        if self.is_json() || self.quiet > 0 { Progress::silent() } else { Progress::start() }
    }
}

fn version(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a number of at least 1, as shown by `xdplb history`".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = lb_config::duration(text)?;
    let is_possible = (SHORTEST..=LONGEST).contains(&interval);
    if is_possible { Ok(interval) } else { Err("give 250ms to 1m".to_owned()) }
}

#[cfg(test)]
mod tests;
