//! The configuration file.

pub mod desired;
mod diagnostics;
mod digests;
mod export;
mod exposure;
mod hidden;
mod host;
mod located;
mod masked;
mod origins;
mod parse;
mod pointer;
mod privileged;
pub mod reference;
mod reset;
mod retyped;
mod schema;
mod structure;
mod text;
mod validate;

use std::{
    net::{IpAddr, SocketAddr},
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use lb_model::{
    ConnectionLog, Group, KeyFault, Keys, Limits, Notify, Pair, Policy, Service, XdpMode,
    secrets::HIDDEN, views::Step,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use self::{diagnostics::Diagnostic, origins::Given};
pub use self::{
    diagnostics::{Diagnostics, Finding, Severity},
    digests::Digests,
    export::{Secrets, running, tables},
    host::program_warning,
    privileged::{Allowed, Refused},
    text::{LONGEST as LONGEST_FILE, is_standard_input, read_text, shown_path},
    validate::MOST_FLOWS,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    pub interfaces: Vec<String>,
    pub xdp_mode: XdpMode,
    /// Mount point of the BPF file system.
    pub bpffs: PathBuf,
    #[serde(serialize_with = "first_to_last")]
    pub snat_ports: RangeInclusive<u16>,
    pub snat_addresses: Vec<IpAddr>,
    pub pair: Pair,
    /// Groups of a pair's addresses.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// Directory of the daemon's persistent state.
    pub state_dir: PathBuf,
    pub api: Api,
    pub limits: Limits,
    pub checks: Checks,
    /// Recipients of changes of state.
    pub notify: Vec<Notify>,
    /// Where ends of connections are logged, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_log: Option<ConnectionLog>,
    /// Defaults of services.
    pub defaults: Policy,
    /// In configured order.
    #[serde(skip)]
    pub services: Vec<Service>,
    #[serde(skip)]
    given: Given,
}

fn first_to_last<S: Serializer>(
    range: &RangeInclusive<u16>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}-{}", range.start(), range.end()))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Api {
    pub socket: PathBuf,
    /// Where the status page and metrics are served, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Token that clients of `http` need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_token: Option<String>,
}

/// Limits of health checks on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// User that programs run as.
    pub user: String,
    /// Directories of files that users other than root may set.
    pub tls_directories: Vec<PathBuf>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { user: "nobody".to_owned(), tls_directories: vec!["/etc/xdplb/tls".into()] }
    }
}

/// A valid configuration and its text.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Diagnostics>,
    pub digests: Digests,
    /// True if it was read from a file that only root can write.
    pub is_roots: bool,
    /// True if the text was sent in a request, and is not a file of this host.
    is_sent: bool,
    source: Source,
    spans: Spans,
}

/// A fault in a file that depends on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(Diagnostic);

/// Path and text of a file.
#[derive(Clone, Debug)]
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Masks the secrets in the text.
    fn shown(self) -> Self {
        Self { text: masked::shown(&self.text), ..self }
    }
}

/// Spans of settings that are checked against the host.
#[derive(Clone, Debug, Default)]
struct Spans {
    interfaces: Vec<Range<usize>>,
    snat_addresses: Vec<Range<usize>>,
    tls_directories: Vec<Range<usize>>,
    /// By recipient of notifications.
    notify: Vec<Range<usize>>,
    /// Keys of the daemon, dotted.
    settings: Keyed,
    /// By service.
    vips: Vec<Range<usize>>,
    /// By service, then by backend.
    backends: Vec<Vec<Range<usize>>>,
    /// Keys of the default check, and of the check of each service.
    default_check: Keyed,
    checks: Vec<Keyed>,
}

impl Spans {
    /// Returns the span of a key of the daemon, if it is set.
    fn setting(&self, key: &str) -> Option<Range<usize>> {
        let found = self.settings.iter().find(|(known, _)| *known == key);
        found.map(|(_, span)| span.clone())
    }
}

/// Spans by key.
type Keyed = Vec<(&'static str, Range<usize>)>;

/// Reads a configuration file. The error shows all faults in the file.
pub fn load(path: &Path) -> Result<Loaded> {
    let (text, is_roots) = text::read_owned(path)?;
    let mut loaded = Loaded { is_roots, is_sent: false, ..read(shown_path(path), text)? };
    loaded.keep_hidden(&[])?;
    Ok(loaded)
}

/// Parses the text of a configuration file, like [`load`], except that URLs may be hidden.
pub fn read(path: String, text: String) -> Result<Loaded> {
    parse::parse(Source { path, text: text::unmarked(text) })
}

/// Returns a service from the keys of a `[[service]]` table, parsed like those of a file.
pub fn service(name: &str, keys: &Keys, defaults: &Policy) -> Result<Service> {
    parse::service(name, keys, defaults)
}

/// Returns a service with new values of these keys of `[[service]]`; null resets a key to its
/// default.
pub fn changed_service(service: &Service, keys: &Keys, defaults: &Policy) -> Result<Service> {
    let fixed = [
        ("backend", "backends are changed one by one: `xdplb backend add|set|remove`"),
        ("backends", "backends are changed one by one: `xdplb backend add|set|remove`"),
        ("name", "a service cannot be renamed: add one with the new name, and remove this one"),
    ];
    if let Some((key, detail)) = fixed.into_iter().find(|(key, _)| keys.contains_key(*key)) {
        return Err(KeyFault::at(&[key.to_owned()], detail).into());
    }
    let (mut keys, policy) = reset::nulls(keys, &service.policy, defaults)?;
    keep_hidden(&mut keys, &policy);
    retyped::keep_keys(&mut keys, &policy.health)?;
    keys.entry("vip").or_insert_with(|| service.vip.to_string().into());
    let changed = parse::service(&service.name, &keys, &policy).map_err(without_fixed)?;
    Ok(Service { backends: service.backends.clone(), ..changed })
}

/// Removes the keys that a change always refuses from the advice of an error.
fn without_fixed(error: anyhow::Error) -> anyhow::Error {
    let found = match error.downcast::<Diagnostics>() {
        Ok(found) => found,
        Err(error) => return error,
    };
    let advice =
        |detail: &str| detail.replace("one of `name`, ", "one of ").replace(", `backends`", "");
    let faults = found.keys().iter();
    let faults =
        faults.map(|one| KeyFault { detail: advice(&one.detail), ..one.clone() }).collect();
    found.with_keys(faults).into()
}

/// Keeps a secret that is sent back as its placeholder.
fn keep_hidden(keys: &mut Keys, policy: &Policy) {
    let Some(Value::Object(health)) = keys.get_mut("health") else { return };
    if policy.health.request.send.is_some() && health.get("send").is_some_and(|v| v == HIDDEN) {
        health.remove("send");
    }
}

impl Config {
    /// Returns the configuration without services.
    #[must_use]
    pub fn settings(&self) -> Self {
        Self {
            interfaces: self.interfaces.clone(),
            xdp_mode: self.xdp_mode,
            bpffs: self.bpffs.clone(),
            snat_ports: self.snat_ports.clone(),
            snat_addresses: self.snat_addresses.clone(),
            pair: self.pair,
            groups: self.groups.clone(),
            state_dir: self.state_dir.clone(),
            api: self.api.clone(),
            limits: self.limits,
            checks: self.checks.clone(),
            notify: self.notify.clone(),
            connection_log: self.connection_log.clone(),
            defaults: self.defaults.clone(),
            services: Vec::new(),
            given: Given::default(),
        }
    }

    /// Returns the changes of a new configuration, except those of services.
    #[must_use]
    pub fn steps_to(&self, new: &Self) -> Vec<Step> {
        let settings = |config| serde_json::to_value(config).unwrap_or_default();
        desired::changes(&settings(self), &settings(new))
    }

    /// Returns true if an address is in a group, so that it may be on the other node.
    #[must_use]
    pub fn is_grouped(&self, address: IpAddr) -> bool {
        self.groups.iter().flat_map(Group::addresses).any(|one| one == address)
    }

    /// Returns the fault of a service whose VIP is in none of the groups, if there are any, and the fix.
    #[must_use]
    pub fn ungrouped(&self, service: &Service) -> Option<(String, &'static str)> {
        validate::grouped(service, &self.groups).err()
    }

    /// Returns an error with all changes that a running daemon cannot apply.
    pub fn refuse_restart_only(&self, new: &Self) -> Result<()> {
        const RESTART: &str = ": restart the daemon";
        const MOVE: &str = ": restart the daemon, which migrates connections to new maps";
        let (old_limits, new_limits) = (&self.limits, &new.limits);
        let keys = [
            ("bpffs", self.bpffs == new.bpffs, RESTART),
            ("pair.lease", self.pair.lease == new.pair.lease, RESTART),
            ("group", self.groups == new.groups, RESTART),
            ("state_dir", self.state_dir == new.state_dir, RESTART),
            ("api.socket", self.api.socket == new.api.socket, RESTART),
            ("api.http", self.api.http == new.api.http, RESTART),
            ("api.http_token", self.api.http_token == new.api.http_token, RESTART),
            ("checks.user", self.checks.user == new.checks.user, RESTART),
            ("limits.resets", old_limits.resets == new_limits.resets, RESTART),
            ("limits.flows", old_limits.flows == new_limits.flows, MOVE),
            ("limits.services", old_limits.services == new_limits.services, MOVE),
            ("limits.backends", old_limits.backends == new_limits.backends, MOVE),
            ("limits.accounting", old_limits.accounting == new_limits.accounting, MOVE),
        ];
        let changed = keys.into_iter().filter(|(_, is_same, _)| !is_same);
        let refusals: Vec<_> =
            changed.map(|(key, _, fix)| format!("`{key}` has changed{fix}")).collect();
        ensure!(refusals.is_empty(), refusals.join("\n"));
        Ok(())
    }
}

impl Loaded {
    /// Returns true if a file has the same text as this one.
    #[must_use]
    pub fn is_text_of(&self, path: &Path) -> bool {
        read_text(path).is_ok_and(|text| self.digests.are_of_text(&text))
    }

    /// Returns the path of the text.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.source.path
    }

    /// Returns a fault of the interface at `place` of the list.
    #[must_use]
    pub fn interface_fault(&self, place: usize, message: &str, fix: &str) -> Fault {
        Fault(Diagnostic::error(self.spans.interfaces[place].clone(), message, fix))
    }

    /// Returns a fault of the source ports, which may be the default ones.
    #[must_use]
    pub fn snat_ports_fault(&self, message: &str, fix: &str) -> Fault {
        if let Some(span) = self.spans.setting("snat_ports") {
            return Fault(Diagnostic::error(span, message, fix));
        }
        let message = format!("the default does not fit this host: {message}");
        Fault(Diagnostic::error(0..0, message, fix).without_place())
    }

    /// Returns a fault of all services, shown at the limit that they exceed if the file sets it.
    #[must_use]
    pub fn limit_fault(&self, key: Option<&str>, message: &str, fix: &str) -> Fault {
        match key.and_then(|key| self.spans.setting(key)) {
            Some(span) => Fault(Diagnostic::error(span, message, fix)),
            None => Fault(Diagnostic::error(0..0, message, fix).without_place()),
        }
    }

    /// Returns a fault of the VIP of the service at `place`.
    #[must_use]
    pub fn vip_fault(&self, place: usize, message: &str, fix: &str) -> Fault {
        Fault(Diagnostic::error(self.spans.vips[place].clone(), message, fix))
    }

    /// Returns a warning about the VIP of the service at `place`.
    #[must_use]
    pub fn vip_warning(&self, place: usize, message: &str, fix: &str) -> Vec<Diagnostics> {
        let warning = Diagnostic::warning(self.spans.vips[place].clone(), message, fix);
        Diagnostics::each(&self.source, &[warning])
    }

    /// Returns a fault of a backend's address, by the indices of its service and of itself.
    #[must_use]
    pub fn backend_fault(&self, service: usize, backend: usize, message: &str, fix: &str) -> Fault {
        Fault(Diagnostic::error(self.spans.backends[service][backend].clone(), message, fix))
    }

    /// Returns an error that shows all faults, if there are any.
    pub fn refuse(&self, faults: Vec<Fault>) -> Result<()> {
        if faults.is_empty() {
            return Ok(());
        }
        let faults: Vec<_> = faults.into_iter().map(|Fault(diagnostic)| diagnostic).collect();
        Err(Diagnostics::new(&self.source, &faults, false).into())
    }
}

/// Parses a duration of a command, with the errors of a file.
pub fn duration(text: &str) -> Result<Duration, String> {
    located::duration(text)
}

/// Returns the word of a value in the file.
pub fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
