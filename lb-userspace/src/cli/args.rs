//! Command-line arguments.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum, value_parser};
use clap_complete::Shell;
use jiff::Timestamp;
use serde_json::Value;

use super::{complete, exit::Failure, value};
use crate::{
    config,
    connections::{ClientFilter, ConnectionState},
    control::Keys,
};

/// Environment variable with the path of the daemon's socket.
pub(super) const SOCKET_VARIABLE: &str = "XDPLB_SOCKET";

const EXIT_CODES: &str = "Exit codes: 0 success; 1 failure; 2 usage error or invalid configuration; \
    3 no daemon at the socket; 4 `diff` found differences, or `check --strict` found warnings; \
    70 the daemon ended because of a bug.";

/// A Layer-4 TCP load balancer in XDP.
#[derive(Debug, Parser)]
#[command(name = "xdplb", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// The daemon's socket.
    #[arg(long, global = true, env = SOCKET_VARIABLE, default_value = crate::DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,
    /// Log more; repeat for even more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Log less; repeat to log only errors.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) quiet: u8,
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
    },
    /// Check a configuration file. Exits with 0 if it is valid, 2 if it is invalid.
    Check {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE", required_unless_present = "schema")]
        config: Option<PathBuf>,
        /// Print the JSON Schema of configuration files instead, for editors.
        #[arg(long, conflicts_with = "config")]
        schema: bool,
        /// Exit with 4 if there are warnings.
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
    /// Show the daemon, its interfaces and their actual XDP mode, flow table usage and warnings.
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
    /// Show what a configuration file would change. Exits with 4 if it would change anything.
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
    /// Print the running settings and services as a configuration file. Values of `send` are
    /// printed only for root.
    Export,
    /// Show who changed what and when, or one version in full: its author, its changes and all its
    /// services.
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
    /// List or count connections. The list is streamed, so it may be long or cut by `| head`. With
    /// -o json, one object per line.
    Conns(Conns),
    /// Run a demo for 20 seconds: a balancer, three servers and traffic in network namespaces.
    Demo {
        /// Leave everything running afterwards to try commands on it; `demo --stop` removes it.
        #[arg(long)]
        keep: bool,
        /// Remove demos that were kept running.
        #[arg(long, conflicts_with = "keep")]
        stop: bool,
    },
    /// Answer HTTP requests as a server of the demo.
    #[command(hide = true)]
    Respond { name: String, address: SocketAddr },
    /// Print the completion script of a shell.
    Completions { shell: Shell },
    /// Print a manual page: `man`, `man backend drain`, or `man xdplb.toml` for the configuration
    /// file.
    Man {
        /// Command to describe.
        verb: Vec<String>,
    },
    /// Write everything generated from the code: references, manual pages, completions.
    #[command(hide = true)]
    Documents { directory: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceVerb {
    /// List all services with their backends.
    List,
    /// Show one service.
    Show {
        #[arg(value_name = "NAME", add = complete::services())]
        name: String,
    },
    /// Add a service with its backends in one change.
    Add {
        name: String,
        #[command(flatten)]
        keys: ServiceKeys,
        /// Backend; default port: that of the VIP. May be repeated.
        #[arg(long, value_name = "ADDR[:PORT]")]
        backend: Vec<String>,
        /// Take a VIP that a server on this host listens on.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Change settings of a service. Other settings stay as they are.
    #[command(arg_required_else_help = true)]
    Set {
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        keys: ServiceKeys,
        /// Key to reset to its default, such as health.path. May be repeated.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// Take a VIP that a server on this host listens on.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Remove a service. Its connections continue until they end.
    Remove {
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        trial: Trial,
    },
}

/// Settings of a service: the keys of `[[service]]` in the configuration file.
#[derive(Debug, Args)]
pub(super) struct ServiceKeys {
    /// Address and port that clients connect to.
    #[arg(long, value_name = "ADDR:PORT[/tcp]")]
    pub(super) vip: Option<String>,
    /// Forwarding method.
    #[arg(long, add = complete::words("mode"))]
    pub(super) mode: Option<String>,
    /// Selection of a backend for a new connection.
    #[arg(long, add = complete::words("scheduler"))]
    pub(super) scheduler: Option<String>,
    /// Key of `[service.health]`, such as --health type=tcp or --health 'command=/bin/check
    /// --quick'. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("health", text))]
    pub(super) health: Vec<(String, Value)>,
    /// Key of `[service.timeouts]`, such as established=1h. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("timeouts", text))]
    pub(super) timeouts: Vec<(String, Value)>,
    /// Any other key of `[[service]]`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::of_service)]
    pub(super) set: Vec<(String, Value)>,
}

impl ServiceKeys {
    /// Returns the keys in the form of the API.
    pub(super) fn into_keys(self) -> Result<Keys, Failure> {
        let texts = [("vip", self.vip), ("mode", self.mode), ("scheduler", self.scheduler)];
        let texts =
            texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.into())));
        let mut keys: Keys = texts.collect();
        for (path, value) in self.set {
            value::put(&mut keys, &path, value)?;
        }
        for (key, table) in [("health", self.health), ("timeouts", self.timeouts)] {
            if !table.is_empty() {
                for (inner, value) in table {
                    value::put(&mut keys, &format!("{key}.{inner}"), value)?;
                }
            }
        }
        Ok(keys)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum BackendVerb {
    /// List the backends of one service or of all.
    List {
        #[arg(add = complete::services())]
        service: Option<String>,
    },
    /// Add a backend. It gets connections after its first successful health check.
    Add {
        #[command(flatten)]
        place: BackendAddress,
        #[command(flatten)]
        trial: Trial,
        /// Share of new connections relative to the other weights; 0 for no new connections.
        #[arg(
            long,
            default_value_t = 1,
            allow_negative_numbers = true,
            value_parser = value_parser!(u16)
        )]
        weight: u16,
        /// Use the backend only when no other backend is available.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
        backup: bool,
    },
    /// Remove a backend. Its connections continue.
    Remove {
        #[command(flatten)]
        place: BackendAddress,
        #[command(flatten)]
        trial: Trial,
    },
    /// Change a backend's settings.
    #[command(
        arg_required_else_help = true,
        group = ArgGroup::new("settings").args(["weight", "backup"]).required(true).multiple(true)
    )]
    Set {
        #[command(flatten)]
        place: BackendAddress,
        #[command(flatten)]
        trial: Trial,
        /// Share of new connections relative to the other weights; 0 for no new connections.
        #[arg(long, allow_negative_numbers = true, value_parser = value_parser!(u16))]
        weight: Option<u16>,
        /// Use the backend only when no other backend is available; --backup=false: always.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        backup: Option<bool>,
    },
    /// Stop new connections to a backend. Its existing connections continue.
    Drain {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
        /// Wait until the last connection has closed.
        #[arg(long)]
        wait: bool,
        /// Reset the remaining connections after this time.
        #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = deadline)]
        deadline: Option<Duration>,
    },
    /// Enable a drained or disabled backend; a disabled one gets connections after its next
    /// successful health check.
    Enable {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
    },
    /// Stop new connections to a backend and its health checks. Its existing connections continue.
    Disable {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
    },
}

/// Filters and output of `conns`. A connection must match all filters.
#[derive(Debug, Args)]
pub(super) struct Conns {
    /// Connections of this service.
    #[arg(long, value_name = "NAME", add = complete::services())]
    pub(super) service: Option<String>,
    /// Connections to this backend.
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::address, add = complete::backends())]
    pub(super) backend: Option<SocketAddr>,
    /// Connections from this client: ADDR, ADDR:PORT or NETWORK/LENGTH.
    #[arg(long, value_name = "CLIENT")]
    pub(super) client: Option<ClientFilter>,
    /// Connections in this state, or in any of several.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',')]
    pub(super) state: Vec<ConnectionState>,
    /// Connections without a packet for longer than this.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = config::duration)]
    pub(super) idle_over: Option<Duration>,
    /// Maximum number of connections to list.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = count
    )]
    pub(super) limit: Option<u64>,
    /// Print only the number of connections by state.
    #[arg(long)]
    pub(super) count: bool,
}

/// One backend of a service.
#[derive(Debug, Args)]
pub(super) struct BackendAddress {
    #[arg(add = complete::services())]
    pub(super) service: String,
    #[arg(value_name = "ADDR:PORT", value_parser = config::address, add = complete::backends())]
    pub(super) address: SocketAddr,
}

/// A backend of one service, or of all services that have it.
#[derive(Debug, Args)]
pub(super) struct Places {
    /// Service; omit it with --all-services.
    #[arg(required_unless_present = "all_services", add = complete::services())]
    pub(super) service: Option<String>,
    #[arg(value_name = "ADDR:PORT", required_unless_present = "all_services", value_parser = config::address, add = complete::backends())]
    pub(super) address: Option<SocketAddr>,
    /// All backends with this address in all services, at any port if none is given.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server, add = complete::servers(), conflicts_with_all = ["service", "address"])]
    pub(super) all_services: Option<Server>,
}

/// A server, or one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) ip: IpAddr,
    pub(super) port: Option<u16>,
}

impl Server {
    pub(super) fn has(self, address: SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
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
    #[arg(short = 'o', long = "output", value_enum, global = true, default_value_t = Format::Table)]
    pub(super) format: Format,
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
}

fn server(text: &str) -> Result<Server, String> {
    if let Ok(ip) = text.parse() {
        return Ok(Server { ip, port: None });
    }
    config::address(text).map(|address| Server { ip: address.ip(), port: Some(address.port()) })
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a number of at least 0".to_owned())
}

fn version(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a number of at least 1, as shown by `xdplb history`".to_owned())
}

/// Parses a duration whose end can be represented as a timestamp.
fn deadline(text: &str) -> Result<Duration, String> {
    let time = config::duration(text)?;
    let until = Timestamp::now().checked_add(time);
    until.map(|_| time).map_err(|_| format!("{text} is too long: give 100 years at most"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn weights_out_of_range_are_refused() {
        for weight in ["65536", "70000", "-1", "x"] {
            let arguments = ["xdplb", "backend", "add", "web", "10.0.0.1:80", "--weight", weight];
            assert!(Cli::try_parse_from(arguments).is_err(), "{weight}");
        }
    }

    #[test]
    fn errors_of_values_give_the_range_or_the_fix() {
        let of = |arguments: &[&str]| {
            let all = ["xdplb", "backend"].into_iter().chain(arguments.iter().copied());
            Cli::try_parse_from(all).expect_err("a wrong value").to_string()
        };
        for (arguments, word) in [
            (&["add", "web", "db.example:80"][..], "names are not looked up"),
            (&["add", "web", "10.0.0.1"], "the port is missing"),
            (&["add", "web", "10.0.0.1:99999"], "a port is 1 to 65535"),
            (&["add", "web", "10.0.0.1:80", "--weight", "-1"], "-1 is not in 0..=65535"),
            (&["set", "web", "10.0.0.1:80", "--weight", "70000"], "70000 is not in 0..=65535"),
            (&["drain", "web", "10.0.0.1:80", "--deadline", "5"], "5 has no unit"),
            (&["drain", "web", "10.0.0.1:80", "--deadline", "-5s"], "-5s is negative"),
            (&["drain", "web", "10.0.0.1:80", "--deadline", "99999years"], "is too long"),
        ] {
            let said = of(arguments);
            assert!(said.contains(word), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn at_least_one_setting_is_required() {
        let set = ["xdplb", "backend", "set", "web", "10.0.0.1:80"];
        let missing = Cli::try_parse_from(set).expect_err("nothing to set").to_string();
        assert!(missing.contains("--weight") && missing.contains("--backup"), "{missing}");
        for setting in ["--weight=5", "--weight=0", "--backup=false", "--backup"] {
            assert!(Cli::try_parse_from(set.into_iter().chain([setting])).is_ok(), "{setting}");
        }
    }

    #[test]
    fn keys_have_types() {
        let arguments =
            ["xdplb", "service", "set", "web", "--health", "rise=3", "--health", "path=/a=b"];
        let cli = Cli::try_parse_from(arguments).expect("valid");
        let Verb::Service { verb: ServiceVerb::Set { keys, .. } } = cli.verb else { panic!() };
        let expected = serde_json::json!({ "health": { "rise": 3, "path": "/a=b" } });
        assert_eq!(Value::Object(keys.into_keys().expect("once each")), expected);
    }
}
