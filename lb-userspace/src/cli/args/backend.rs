//! Arguments of `backend`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{ArgGroup, Args, Subcommand, value_parser};
use jiff::Timestamp;

use super::{super::complete, Trial};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BackendVerb {
    /// List the backends of one service or of all.
    List {
        /// Service whose backends to list. Default: all services.
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
        /// End the remaining connections after this time: the next packet of either side is answered by
        /// a reset.
        #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = deadline)]
        deadline: Option<Duration>,
    },
    /// Enable a drained or disabled backend. A disabled one gets connections after its next successful
    /// health check. Also ends the wait of one because of `failback = "manual"`.
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

/// One backend of a service.
#[derive(Debug, Args)]
pub(in crate::cli) struct BackendAddress {
    /// Service of the backend.
    #[arg(add = complete::services())]
    pub(in crate::cli) service: String,
    /// Address and port of the backend.
    #[arg(value_name = "ADDR:PORT", value_parser = lb_model::address::read, add = complete::backends())]
    pub(in crate::cli) address: SocketAddr,
}

/// A backend of one service, or of all services that have it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Places {
    /// Service; omit it with --all-services.
    #[arg(required_unless_present = "all_services", add = complete::services())]
    pub(in crate::cli) service: Option<String>,
    /// Address and port of the backend; omit it with --all-services.
    #[arg(value_name = "ADDR:PORT", required_unless_present = "all_services", value_parser = lb_model::address::read, add = complete::backends())]
    pub(in crate::cli) address: Option<SocketAddr>,
    /// All backends with this address in all services, at any port if none is given.
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server, add = complete::servers(), conflicts_with_all = ["service", "address"])]
    pub(in crate::cli) all_services: Option<Server>,
}

/// A server, or one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Server {
    pub(in crate::cli) ip: IpAddr,
    pub(in crate::cli) port: Option<u16>,
}

impl Server {
    pub(in crate::cli) fn has(self, address: SocketAddr) -> bool {
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

fn server(text: &str) -> Result<Server, String> {
    if let Ok(ip) = text.parse() {
        return Ok(Server { ip, port: None });
    }
    lb_model::address::read(text)
        .map(|address| Server { ip: address.ip(), port: Some(address.port()) })
}

/// Parses a duration whose end can be represented as a timestamp.
fn deadline(text: &str) -> Result<Duration, String> {
    let time = lb_config::duration(text)?;
    let until = Timestamp::now().checked_add(time);
    until.map(|_| time).map_err(|_| format!("{text} is too long: give 100 years at most"))
}
