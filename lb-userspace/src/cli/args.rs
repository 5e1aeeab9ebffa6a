//! The arguments.

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

/// Names the daemon's socket.
pub(super) const SOCKET_VARIABLE: &str = "XDPLB_SOCKET";

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage or invalid configuration; \
    3 no daemon at the socket; 4 `diff` has found differences, or `check --strict` has warnings; 70 a bug has \
    ended the daemon.";

/// A Layer-4 TCP load balancer in XDP.
#[derive(Debug, Parser)]
#[command(name = "xdplb", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
pub struct Cli {
    /// The daemon's socket.
    #[arg(long, global = true, env = SOCKET_VARIABLE, default_value = crate::DEFAULT_SOCKET)]
    pub(super) socket: PathBuf,
    /// Log more; twice, even more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Log less; twice, only errors.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) quiet: u8,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon in the foreground. SIGHUP reloads the file; SIGTERM stops the daemon and
    /// leaves packets flowing.
    Run {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Only check the configuration, as `check` does.
        #[arg(long)]
        check: bool,
    },
    /// Check a configuration file: 0 if it is good, 2 if it is invalid.
    Check {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE", required_unless_present = "schema")]
        config: Option<PathBuf>,
        /// Print the JSON Schema of configuration files instead, for editors.
        #[arg(long, conflicts_with = "config")]
        schema: bool,
        /// End with 4 if there are warnings.
        #[arg(long)]
        strict: bool,
    },
    /// Take the program off interfaces, or off all: the only way packets stop. Stop the daemon
    /// first.
    Detach {
        /// The interfaces; without any, all of them, and the maps too, which ends all connections.
        #[arg(value_name = "IFACE", add = complete::interfaces())]
        interfaces: Vec<String>,
        /// Where the BPF file system is, if the configuration says so.
        #[arg(long, default_value = "/sys/fs/bpf", value_name = "DIR")]
        bpffs: PathBuf,
    },
    /// Show the daemon, its interfaces and their real XDP mode, table fill and warnings.
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
    /// Show what a configuration file would change: 4 if it would change anything.
    Diff {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// As `apply --force`: take VIPs that servers of this host have.
        #[arg(long)]
        force: bool,
    },
    /// Make everything as a configuration file says. Changes by commands that the file does not
    /// have are undone; orders (drain, disable) stay.
    Apply {
        /// The configuration file, or - for standard input.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Take VIPs that servers of this host have.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Print what runs as the configuration file that would make it: settings and services. Values
    /// of `send` are printed for root only.
    Export,
    /// Show who changed what and when; or one version whole: who made it, what it changed, and all
    /// its services.
    History {
        /// A version's number.
        #[arg(
            value_name = "VERSION",
            allow_negative_numbers = true,
            value_parser = version,
            add = complete::versions()
        )]
        number: Option<u64>,
    },
    /// Go back to a former version of all services, which makes a new one.
    Rollback {
        /// Its number, as `history` has it; without, that before the present one.
        #[arg(
            value_name = "VERSION",
            allow_negative_numbers = true,
            value_parser = version,
            add = complete::versions()
        )]
        number: Option<u64>,
        /// Take VIPs that servers of this host have.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Show packets by verdict and reason, and traffic by backend.
    Stats {
        /// Only this service's traffic.
        #[arg(value_name = "SERVICE", add = complete::services())]
        service: Option<String>,
        /// Show what happens in one second, in place of totals.
        #[arg(long)]
        rate: bool,
    },
    /// List connections, or count them, as they come: `| head` and a million of them are both fine.
    /// With -o json, one object a line.
    Conns(Conns),
    /// Show all of it working: namespaces, a balancer, three servers and traffic, in 20 seconds.
    Demo {
        /// Leave everything running afterwards, to play with. The next demo removes it.
        #[arg(long)]
        keep: bool,
        /// Remove the demos that were kept.
        #[arg(long, conflicts_with = "keep")]
        stop: bool,
    },
    /// Answer HTTP requests, as a server of the demo.
    #[command(hide = true)]
    Respond { name: String, address: SocketAddr },
    /// Print completions for a shell.
    Completions { shell: Shell },
    /// Print a manual page: `man`, `man backend drain`, or `man xdplb.toml` for the configuration.
    Man {
        /// A verb.
        verb: Vec<String>,
    },
    /// Write all that is generated from the code: references, manual pages, completions.
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
    /// Add a service, with its backends, in one change.
    Add {
        name: String,
        #[command(flatten)]
        keys: ServiceKeys,
        /// A backend, at the VIP's port if none is given. May be given often.
        #[arg(long, value_name = "ADDR[:PORT]")]
        backend: Vec<String>,
        /// Take a VIP that a server of this host has.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Change a service's settings; the others stay.
    #[command(arg_required_else_help = true)]
    Set {
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        keys: ServiceKeys,
        /// A key that is to have its default again, as in health.path. May be given often.
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// Take a VIP that a server of this host has.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Remove a service. Its connections go on until they end.
    Remove {
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        trial: Trial,
    },
}

/// Settings of a service: the keys of the file's `[[service]]`.
#[derive(Debug, Args)]
pub(super) struct ServiceKeys {
    /// Where clients connect to.
    #[arg(long, value_name = "ADDR:PORT[/tcp]")]
    pub(super) vip: Option<String>,
    /// How packets reach backends.
    #[arg(long, add = complete::words("mode"))]
    pub(super) mode: Option<String>,
    /// How a new connection's backend is picked.
    #[arg(long, add = complete::words("scheduler"))]
    pub(super) scheduler: Option<String>,
    /// A key of `[service.health]`, as in --health type=tcp or
    /// --health 'command=/bin/check --quick'. May be given often.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("health", text))]
    pub(super) health: Vec<(String, Value)>,
    /// A key of `[service.timeouts]`, as in established=1h. May be given often.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("timeouts", text))]
    pub(super) timeouts: Vec<(String, Value)>,
    /// Any other key of `[[service]]`. May be given often.
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::of_service)]
    pub(super) set: Vec<(String, Value)>,
}

impl ServiceKeys {
    /// As the API takes them.
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
    /// List backends, of one service or of all.
    List {
        #[arg(add = complete::services())]
        service: Option<String>,
    },
    /// Add a backend. It takes connections after its first successful check.
    Add {
        #[command(flatten)]
        place: BackendAddress,
        #[command(flatten)]
        trial: Trial,
        /// Its share of new connections beside the others' weights; 0 for no new connections.
        #[arg(
            long,
            default_value_t = 1,
            allow_negative_numbers = true,
            value_parser = value_parser!(u16)
        )]
        weight: u16,
        /// Take connections only when no other backend can.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
        backup: bool,
    },
    /// Remove a backend. Its connections go on.
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
        /// Its share of new connections beside the others' weights; 0 for no new connections.
        #[arg(long, allow_negative_numbers = true, value_parser = value_parser!(u16))]
        weight: Option<u16>,
        /// Take connections only when no other backend can; --backup=false: always.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        backup: Option<bool>,
    },
    /// Give a backend no new connections; its connections go on.
    Drain {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
        /// Wait until its last connection has closed.
        #[arg(long)]
        wait: bool,
        /// After this long, reset what is left of its connections.
        #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = deadline)]
        deadline: Option<Duration>,
    },
    /// Give a backend connections again; one that was disabled, after its next successful check.
    Enable {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
    },
    /// Give a backend no new connections, and do not check it; its connections go on.
    Disable {
        #[command(flatten)]
        place: Places,
        #[command(flatten)]
        trial: Trial,
    },
}

/// Which connections, and how to tell of them. Filters are joined by "and".
#[derive(Debug, Args)]
pub(super) struct Conns {
    /// Of this service.
    #[arg(long, value_name = "NAME", add = complete::services())]
    pub(super) service: Option<String>,
    /// To this backend.
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::address, add = complete::backends())]
    pub(super) backend: Option<SocketAddr>,
    /// From this client: ADDR, ADDR:PORT or NETWORK/LENGTH.
    #[arg(long, value_name = "CLIENT")]
    pub(super) client: Option<ClientFilter>,
    /// In this state, or in any of these.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',')]
    pub(super) state: Vec<ConnectionState>,
    /// Without a packet for longer than this.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = config::duration)]
    pub(super) idle_over: Option<Duration>,
    /// No more than so many.
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = count
    )]
    pub(super) limit: Option<u64>,
    /// Only say how many there are, by state.
    #[arg(long)]
    pub(super) count: bool,
}

/// Which backend.
#[derive(Debug, Args)]
pub(super) struct BackendAddress {
    #[arg(add = complete::services())]
    pub(super) service: String,
    #[arg(value_name = "ADDR:PORT", value_parser = config::address, add = complete::backends())]
    pub(super) address: SocketAddr,
}

/// A backend of one service, or of all that have it.
#[derive(Debug, Args)]
pub(super) struct Places {
    /// The service; left out with --all-services.
    #[arg(required_unless_present = "all_services", add = complete::services())]
    pub(super) service: Option<String>,
    #[arg(value_name = "ADDR:PORT", required_unless_present = "all_services", value_parser = config::address, add = complete::backends())]
    pub(super) address: Option<SocketAddr>,
    /// Every backend with this address, at any port if none is given, in all services.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server, add = complete::servers(), conflicts_with_all = ["service", "address"])]
    pub(super) all_services: Option<Server>,
}

/// A server, or one port of it.
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

/// How a change is made.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Trial {
    /// Show what would change, as `diff` does, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// How to print. With json, results are on standard output and errors on standard error, as problem
    /// documents (RFC 9457).
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
    text.parse().map_err(|_| "give a number from 0 on".to_owned())
}

fn version(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "give a number from 1 on, as `xdplb history` has it".to_owned())
}

/// A duration whose end is a moment that can be written.
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
    fn what_is_wrong_with_a_value_is_said_with_the_range_or_the_fix() {
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
    fn at_least_one_setting_is_to_be_set() {
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
