//! Arguments of `service`.

use clap::{Args, Subcommand};
use lb_model::Keys;
use serde_json::Value;

use super::{
    super::{complete, exit::Failure, value},
    Trial,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceVerb {
    /// List all services with their backends.
    List,
    /// Show one service.
    Show {
        /// Name of the service.
        #[arg(value_name = "NAME", add = complete::services())]
        name: String,
    },
    /// Add a service with its backends in one change.
    Add {
        /// Name of the new service.
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
        /// Name of the service.
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        keys: ServiceKeys,
        /// Key to reset to its default, such as health.path. May be repeated.
        #[arg(long, value_name = "KEY", add = complete::keys(None))]
        unset: Vec<String>,
        /// Take a VIP that a server on this host listens on.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        trial: Trial,
    },
    /// Remove a service. Its connections continue until they end.
    Remove {
        /// Name of the service.
        #[arg(add = complete::services())]
        name: String,
        #[command(flatten)]
        trial: Trial,
    },
}

/// Settings of a service: the keys of `[[service]]` in the configuration file.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceKeys {
    /// Address and port that clients connect to.
    #[arg(long, value_name = "ADDR:PORT[/tcp]")]
    pub(in crate::cli) vip: Option<String>,
    /// Forwarding method.
    #[arg(long, add = complete::words("mode"))]
    pub(in crate::cli) mode: Option<String>,
    /// Selection of a backend for a new connection.
    #[arg(long, add = complete::words("scheduler"))]
    pub(in crate::cli) scheduler: Option<String>,
    /// Turns of round-robin.
    #[arg(long, add = complete::words("turns"))]
    pub(in crate::cli) turns: Option<String>,
    /// Key of `[service.health]`, such as --health type=tcp or --health 'command=/bin/check
    /// --quick'. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("health", text), add = complete::pairs(Some("health")))]
    pub(in crate::cli) health: Vec<(String, Value)>,
    /// Key of `[service.timeouts]`, such as established=1h. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = |text: &str| value::of("timeouts", text), add = complete::pairs(Some("timeouts")))]
    pub(in crate::cli) timeouts: Vec<(String, Value)>,
    /// Any other key of `[[service]]`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::of_service, add = complete::pairs(None))]
    pub(in crate::cli) set: Vec<(String, Value)>,
}

impl ServiceKeys {
    /// Returns the keys in the form of the API.
    pub(in crate::cli) fn into_keys(self) -> Result<Keys, Failure> {
        let texts = [
            ("vip", self.vip),
            ("mode", self.mode),
            ("scheduler", self.scheduler),
            ("turns", self.turns),
        ];
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
