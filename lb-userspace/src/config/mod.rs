//! The configuration file.

mod diagnostics;
mod parse;
mod schema;
mod validate;

use std::{
    fs,
    net::IpAddr,
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use self::diagnostics::Diagnostic;
pub use self::diagnostics::Diagnostics;
use crate::model::Service;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub interfaces: Vec<String>,
    pub xdp_mode: XdpMode,
    /// Where the BPF file system is, or is to be mounted.
    pub bpffs: PathBuf,
    pub snat_ports: RangeInclusive<u16>,
    pub snat_addresses: Vec<IpAddr>,
    pub api: Api,
    pub limits: Limits,
    /// In configured order.
    pub services: Vec<Service>,
}

/// Which XDP the operator will have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native; if the driver has none, generic, with a warning.
    #[default]
    Auto,
    Native,
    Generic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    pub socket: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that the flow table has room for.
    pub flows: u32,
}

/// A valid configuration, and the text it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Diagnostics>,
    source: Source,
    spans: Spans,
}

/// A file's text.
#[derive(Clone, Debug)]
struct Source {
    path: String,
    text: String,
}

/// Where in the text things stand that only the live system can judge.
#[derive(Clone, Debug, Default)]
struct Spans {
    interfaces: Vec<Range<usize>>,
    /// By service, then by backend.
    backends: Vec<Vec<Range<usize>>>,
}

/// Reads a configuration file. The error of an invalid one shows all that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse::parse(Source { path: path.display().to_string(), text })
}

impl Config {
    /// Refuses a new configuration that a running daemon cannot take on.
    pub fn refuse_restart_only(&self, new: &Self) -> Result<()> {
        let pairs = [("bpffs", self.bpffs == new.bpffs), ("api.socket", self.api == new.api)];
        for (key, same) in pairs {
            ensure!(same, "`{key}` has changed: restart the daemon for that");
        }
        ensure!(
            self.limits == new.limits,
            "`limits.flows` has changed, and the running flow table keeps its size: stop the daemon \
             and run `xdplb detach` first, which ends all connections"
        );
        Ok(())
    }
}

impl Loaded {
    /// What is wrong with the interface at `place` of the list.
    #[must_use]
    pub fn interface_error(&self, place: usize, message: &str, mend: &str) -> anyhow::Error {
        self.error(&self.spans.interfaces[place], message, mend)
    }

    /// What is wrong with a backend's address, by the places of its service and of itself.
    #[must_use]
    pub fn backend_error(
        &self,
        service: usize,
        backend: usize,
        message: &str,
        mend: &str,
    ) -> anyhow::Error {
        self.error(&self.spans.backends[service][backend], message, mend)
    }

    fn error(&self, span: &Range<usize>, message: &str, mend: &str) -> anyhow::Error {
        let diagnostic = Diagnostic::error(span.clone(), message, mend);
        Diagnostics::new(&self.source, &[diagnostic]).into()
    }
}

#[cfg(test)]
mod tests;
